//! What people want to know of a certificate (X.509, RFC 5280): whose it is, who signed it, for which names, and
//! until when. Only reads; whether it is to be trusted is for rustls to say.

use entities::Moment;

/// A server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its common name, else its organisation; may be empty.
    pub subject: String,
    /// The same of whoever signed it.
    pub issuer: String,
    /// The host names it is for.
    pub names: Vec<String>,
    /// Good from …
    pub from: Moment,
    /// … to.
    pub until: Moment,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`: the version.
const VERSION: u8 = 0xa0;
/// `[3]`: the extensions.
const EXTENSIONS: u8 = 0xa3;
/// `[2]` of a general name: a DNS name.
const DNS_NAME: u8 = 0x82;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Reads a certificate in DER; none if it is not one.
pub(super) fn read(der: &[u8]) -> Option<Certificate> {
    let mut signed = Der(Der(der).take(SEQUENCE)?);
    let mut fields = Der(signed.take(SEQUENCE)?);
    fields.skip_if(VERSION);
    fields.next()?; // the serial number
    fields.take(SEQUENCE)?; // the signature's algorithm
    let issuer = name(fields.take(SEQUENCE)?);
    let mut validity = Der(fields.take(SEQUENCE)?);
    let (from, until) = (time(validity.next()?)?, time(validity.next()?)?);
    let subject = name(fields.take(SEQUENCE)?);
    let mut names = Vec::new();
    while let Some((tag, value)) = fields.next() {
        if tag == EXTENSIONS {
            names = alternative_names(value).unwrap_or_default();
        }
    }
    Some(Certificate { subject, issuer, names, from, until })
}

fn name(value: &[u8]) -> String {
    let (mut common, mut organisation) = (None, None);
    let mut parts = Der(value);
    while let Some(part) = parts.take(SET) {
        let Some(pair) = Der(part).take(SEQUENCE) else { continue };
        let mut pair = Der(pair);
        let (Some(kind), Some((_, text))) = (pair.take(OBJECT), pair.next()) else { continue };
        let text = String::from_utf8_lossy(text).into_owned();
        match kind {
            COMMON_NAME => common = Some(text),
            ORGANISATION => organisation = Some(text),
            _ => {}
        }
    }
    common.or(organisation).unwrap_or_default()
}

fn alternative_names(value: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Der(Der(value).take(SEQUENCE)?);
    while let Some(extension) = extensions.take(SEQUENCE) {
        let mut extension = Der(extension);
        if extension.take(OBJECT)? != SUBJECT_ALT_NAME {
            continue;
        }
        extension.skip_if(BOOLEAN);
        let mut list = Der(Der(extension.take(OCTETS)?).take(SEQUENCE)?);
        let mut names = Vec::new();
        while let Some((tag, name)) = list.next() {
            if tag == DNS_NAME {
                names.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        return Some(names);
    }
    None
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on.
fn time((tag, value): (u8, &[u8])) -> Option<Moment> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: i16 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let civil = jiff::civil::DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    let moment = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Moment::from_millis(moment.timestamp().as_millisecond()))
}

/// Values of ASN.1 in DER, one behind the other. Whatever is cut off or too long is the end.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The next value and its tag.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let bytes = usize::from(first & 0x7f);
            if bytes == 0 || bytes > 4 || rest.len() < bytes {
                return None;
            }
            let (digits, behind) = rest.split_at(bytes);
            length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            rest = behind;
        }
        let (value, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, value))
    }

    /// The next value, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    fn skip_if(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Vec<u8> {
        let mut params =
            rcgen::CertificateParams::new(vec!["a.example".to_owned(), "*.b.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "shown");
        params.not_before = rcgen::date_time_ymd(2000, 1, 2);
        params.not_after = rcgen::date_time_ymd(2051, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_read() {
        let read = read(&made()).unwrap();
        assert_eq!((&*read.subject, &*read.issuer), ("shown", "shown"));
        assert_eq!(read.names, ["a.example", "*.b.example"]);
        assert_eq!(read.from.to_rfc3339(), "2000-01-02T00:00:00.000Z");
        assert_eq!(read.until.to_rfc3339(), "2051-02-03T00:00:00.000Z");
    }

    /// Cut anywhere, and with any byte another: no panic.
    #[test]
    fn what_is_no_certificate_is_none_or_something() {
        let made = made();
        for end in 0..made.len() {
            assert_eq!(read(&made[..end]), None, "{end}");
            for byte in [0x00, 0x80, 0x84, 0xff] {
                let mut bent = made.clone();
                bent[end] = byte;
                let _ = read(&bent);
            }
        }
    }
}
