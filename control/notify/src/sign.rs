//! Signatures of webhooks: ours as in the Standard Webhooks convention
//! (standardwebhooks.com, version 1), those of forges as each has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA256, Key, sign as mac, verify};

/// The value of `webhook-signature` for a message: `v1,…` over its id, a moment in seconds since
/// 1970, and its body.
pub fn sign(secret: &str, id: &str, seconds: i64, body: &[u8]) -> String {
    let bytes = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let key = Key::new(HMAC_SHA256, &bytes.unwrap_or_else(|| secret.as_bytes().to_vec()));
    let mut signed = format!("{id}.{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    format!("v1,{}", STANDARD.encode(mac(&key, &signed)))
}

/// A body's signature in hexadecimal digits, as forges write it.
pub fn sign_hex(secret: &str, body: &[u8]) -> String {
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    mac(&key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether hexadecimal digits are a body's signature. Takes as long whether they are or not.
pub fn check_hex(secret: &str, body: &[u8], hex: &str) -> bool {
    let digits: Option<Vec<u8>> = (0..hex.len() / 2)
        .map(|at| hex.get(2 * at..2 * at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()))
        .collect();
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    verify(&key, body, &digits.unwrap_or_default()).is_ok() && hex.len() == 64
}

/// Whether what was shown is the secret itself. Takes as long whether it is or not.
pub fn check_shared(secret: &str, shown: &str) -> bool {
    // Compared by what a random key makes of both: their lengths and first letters tell nothing.
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    verify(&key, shown.as_bytes(), mac(&key, secret.as_bytes()).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_the_convention_has_it() {
        // The example of the convention's own libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = sign(secret, id, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_forges_signature_is_told_from_others() {
        // The example of GitHub's documentation.
        let (secret, body) = ("It's a Secret to Everybody", b"Hello, World!");
        let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(sign_hex(secret, body), hex);
        assert!(check_hex(secret, body, hex));
        for wrong in ["", "00", &hex[..62], &format!("{hex}00"), &hex.replace('7', "8"), "zz"] {
            assert!(!check_hex(secret, body, wrong), "{wrong}");
        }
        assert!(!check_hex("another", body, hex) && !check_hex(secret, b"Hello", hex));
        assert!(check_shared("abc", "abc") && !check_shared("abc", "ab"));
        assert!(!check_shared("abc", "") && !check_shared("abc", "abcd"));
    }
}
