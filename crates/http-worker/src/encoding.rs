//! `Content-Encoding`: what an answer is compressed by, and the decoders to undo it.

use async_compression::codecs;
use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use tokio::io::{AsyncBufRead, AsyncRead, BufReader};

/// What we tell servers that we read.
pub(crate) const ACCEPTED: &str = "gzip, br, zstd, deflate";

/// More layers than anyone has a use for; each costs its decoder's memory.
const MOST_LAYERS: usize = 3;

/// Windows beyond 8 MiB are not for HTTP (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

/// One layer of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    /// Zlib by the standard, raw by some servers.
    Deflate,
    Brotli,
    Zstd,
}

/// The layers of an answer, in the order in which they were put on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encodings(Vec<Encoding>);

/// An encoding that we did not ask for and cannot undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownEncoding(pub(crate) String);

impl Encodings {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Encodings, UnknownEncoding> {
        let mut layers = Vec::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
                match name.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => {}
                    "gzip" | "x-gzip" => layers.push(Encoding::Gzip),
                    "deflate" => layers.push(Encoding::Deflate),
                    "br" => layers.push(Encoding::Brotli),
                    "zstd" => layers.push(Encoding::Zstd),
                    other => return Err(UnknownEncoding(other.chars().take(40).collect())),
                }
            }
        }
        if layers.len() > MOST_LAYERS {
            return Err(UnknownEncoding(format!("{} layers", layers.len())));
        }
        Ok(Encodings(layers))
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.0.is_empty()
    }

    /// Decoders over `source`, whose first bytes are `begins`.
    pub(crate) fn decoder<'a>(
        &self,
        source: impl AsyncBufRead + Send + Unpin + 'a,
        begins: &[u8],
    ) -> Box<dyn AsyncRead + Send + Unpin + 'a> {
        let mut layers = self.0.iter().rev();
        let Some(outermost) = layers.next() else { return Box::new(source) };
        let raw = *outermost == Encoding::Deflate && !is_zlib(begins);
        let mut decoder = outermost.decoder(source, raw);
        for layer in layers {
            decoder = layer.decoder(BufReader::new(decoder), false);
        }
        decoder
    }
}

impl Encoding {
    fn decoder<'a>(
        self,
        source: impl AsyncBufRead + Send + Unpin + 'a,
        raw: bool,
    ) -> Box<dyn AsyncRead + Send + Unpin + 'a> {
        match self {
            Encoding::Gzip => {
                let mut decoder = GzipDecoder::new(source);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            Encoding::Deflate if raw => Box::new(DeflateDecoder::new(source)),
            Encoding::Deflate => Box::new(ZlibDecoder::new(source)),
            Encoding::Brotli => Box::new(BrotliDecoder::new(source)),
            Encoding::Zstd => {
                let codec =
                    codecs::ZstdDecoder::new_with_params(&[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
                let mut decoder = ZstdDecoder::with_codec(source, codec);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
        }
    }
}

/// Whether bytes begin with a zlib header (RFC 1950).
fn is_zlib(begins: &[u8]) -> bool {
    match begins {
        [method, flags, ..] => method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0,
        // One byte alone does not say; zlib is the standard.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_in_order() {
        for (header, expected) in [
            ("", Ok(vec![])),
            ("identity", Ok(vec![])),
            ("GZip", Ok(vec![Encoding::Gzip])),
            ("gzip, br", Ok(vec![Encoding::Gzip, Encoding::Brotli])),
            ("deflate,identity,zstd", Ok(vec![Encoding::Deflate, Encoding::Zstd])),
            ("compress", Err(UnknownEncoding("compress".to_owned()))),
            ("gzip,gzip,gzip,gzip", Err(UnknownEncoding("4 layers".to_owned()))),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, header.parse().unwrap());
            assert_eq!(Encodings::of(&headers), expected.map(Encodings), "{header}");
        }
    }
}
