//! Tokens that are minted and signed here (RFC 7519, RFC 7515), with no request to anybody.

use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entities::{Failure, JwtAlgorithm, Moment, Place, RunContext};
use expr::{CompiledValue, Globals, Scope};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};

use super::token::Token;
use crate::template::{RawText, wrong};

/// How long a token is used that says nothing about its end.
const UNTIMED: Duration = Duration::from_secs(300);

/// `jwt = {…}`, compiled.
pub(crate) struct Jwt {
    algorithm: JwtAlgorithm,
    key: Key,
    claims: Vec<(String, CompiledValue)>,
    header: Vec<(String, CompiledValue)>,
    at: Place,
}

enum Key {
    Hmac(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
}

impl Jwt {
    pub(crate) fn compile(jwt: &entities::Jwt, run: &Scope<'_>) -> Result<Jwt, Failure> {
        let values = |entries: &[(String, entities::ValueTemplate)]| {
            entries
                .iter()
                .map(|(name, template)| {
                    let value = CompiledValue::compile(template)
                        .map_err(|(error, at)| wrong(error.to_string(), at))?;
                    Ok((name.clone(), value))
                })
                .collect::<Result<Vec<_>, Failure>>()
        };
        let text = RawText::compile(&jwt.key, run)?;
        Ok(Jwt {
            algorithm: jwt.algorithm,
            key: Key::read(jwt.algorithm, &text.render(run)?, jwt.key.at)?,
            claims: values(&jwt.claims)?,
            header: values(&jwt.header)?,
            at: jwt.at,
        })
    }

    /// A token that is signed at `now`.
    pub(crate) fn mint(&self, context: &RunContext, now: Moment) -> Result<Token, Failure> {
        let globals = Globals::new(&context.vars, &context.secrets, now);
        let nothing = Map::new();
        let scope = Scope { globals: &globals, bindings: &nothing, cursor: None, record: None, page: None };
        let mut header = Map::new();
        header.insert("alg".to_owned(), Value::from(name(self.algorithm)));
        header.insert("typ".to_owned(), Value::from("JWT"));
        self.fill(&mut header, &self.header, &scope)?;
        header.insert("alg".to_owned(), Value::from(name(self.algorithm)));
        let mut claims = Map::new();
        self.fill(&mut claims, &self.claims, &scope)?;
        let lifetime = match claims.get("exp") {
            None => UNTIMED,
            Some(exp) => {
                // RFC 7519, 4.1.4: a number of seconds.
                let exp = exp.as_f64().filter(|exp| exp.is_finite()).ok_or_else(|| {
                    wrong(format!("the claim `exp` must be a number of seconds, and is {exp}"), self.at)
                        .help("write exp = \"{{ now | epoch + 300 }}\"")
                })?;
                let left = exp - now.0 as f64 / 1e9;
                if left <= 0.0 {
                    return Err(wrong(
                        "the claim `exp` lies in the past: nobody would take the token",
                        self.at,
                    )
                    .help("write exp = \"{{ now | epoch + 300 }}\": `now` is the moment of signing here"));
                }
                Duration::from_secs_f64(left.min(315_360_000.0))
            }
        };
        let part = |value: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(value).to_string());
        let mut text = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(text.as_bytes()).map_err(|why| wrong(why, self.at))?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        // Shortly before its end: what is on its way then must still be good.
        let until = now + lifetime - (lifetime / 10).min(Duration::from_secs(30));
        let value = format!("Bearer {text}");
        Ok(Token::new(text, value, Some(until)))
    }

    fn fill(
        &self,
        out: &mut Map<String, Value>,
        entries: &[(String, CompiledValue)],
        scope: &Scope<'_>,
    ) -> Result<(), Failure> {
        for (name, value) in entries {
            let value = value.value(scope).map_err(|error| wrong(format!("`{name}`: {error}"), self.at))?;
            if !value.is_null() {
                out.insert(name.clone(), value);
            }
        }
        Ok(())
    }
}

impl Key {
    fn read(algorithm: JwtAlgorithm, key: &[u8], at: Place) -> Result<Key, Failure> {
        let shared = match algorithm {
            JwtAlgorithm::HS256 => Some(hmac::HMAC_SHA256),
            JwtAlgorithm::HS384 => Some(hmac::HMAC_SHA384),
            JwtAlgorithm::HS512 => Some(hmac::HMAC_SHA512),
            _ => None,
        };
        if let Some(shared) = shared {
            return Ok(Key::Hmac(Box::new(hmac::Key::new(shared, key))));
        }
        let unusable = |why: String| {
            wrong(format!("the key of `jwt` cannot be used for {}: {why}", name(algorithm)), at)
                .help("it must be a private key in PEM, of the kind that `algorithm` names")
        };
        // Environments that hold no line ends hold `\n` instead.
        let text = String::from_utf8_lossy(key);
        let pem = if text.contains('\n') { text.into_owned() } else { text.replace("\\n", "\n") };
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| unusable("it is no private key in PEM".to_owned()))?;
        let rejected = |error: aws_lc_rs::error::KeyRejected| unusable(error.to_string());
        let rsa = |encoding| {
            let pair = match &der {
                PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                other => RsaKeyPair::from_pkcs8(other.secret_der()),
            };
            pair.map(|pair| Key::Rsa(Box::new(pair), encoding)).map_err(rejected)
        };
        let ecdsa = |algorithm| {
            EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der()).map(Key::Ecdsa).map_err(rejected)
        };
        match algorithm {
            JwtAlgorithm::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
            JwtAlgorithm::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
            JwtAlgorithm::ES256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            JwtAlgorithm::ES384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            _ => rsa(&signature::RSA_PKCS1_SHA256),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        let random = SystemRandom::new();
        match self {
            Key::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Key::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .map_err(|_| "the key of `jwt` is too small to sign with")?;
                Ok(signature)
            }
            Key::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| "the key of `jwt` does not sign"),
        }
    }
}

fn name(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::HS256 => "HS256",
        JwtAlgorithm::HS384 => "HS384",
        JwtAlgorithm::HS512 => "HS512",
        JwtAlgorithm::RS256 => "RS256",
        JwtAlgorithm::RS384 => "RS384",
        JwtAlgorithm::RS512 => "RS512",
        JwtAlgorithm::ES256 => "ES256",
        JwtAlgorithm::ES384 => "ES384",
    }
}
