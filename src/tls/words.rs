//! Failures in the words of Go's client.

use rustls::{AlertDescription, Error};

/// What a TLS failure is called; `first` are the first bytes that the server
/// has sent.
#[must_use]
pub fn failure(error: &Error, first: &[u8]) -> String {
    match error {
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_text(*alert)),
        Error::InvalidMessage(_) if speaks_http(first) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        Error::InvalidMessage(_) if !is_record(first) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        other => format!("tls: {other}"),
    }
}

fn speaks_http(first: &[u8]) -> bool {
    !first.is_empty() && b"HTTP/".starts_with(&first[..first.len().min(5)])
}

/// A handshake or an alert of some version.
fn is_record(first: &[u8]) -> bool {
    matches!(first, [21 | 22, 3, ..])
}

fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CloseNotify => "close notify",
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::RecordOverflow => "record overflow",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::InappropriateFallback => "inappropriate fallback",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::NoRenegotiation => "no renegotiation",
        AlertDescription::MissingExtension => "missing extension",
        AlertDescription::UnsupportedExtension => "unsupported extension",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        other => return format!("alert({})", u8::from(other)),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::InvalidMessage;

    #[test]
    fn every_failure_has_gos_words() {
        let invalid = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let table: [(Error, &[u8], &str); 6] = [
            (invalid.clone(), b"HTTP/", "http: server gave HTTP response to HTTPS client"),
            (invalid.clone(), b"HT", "http: server gave HTTP response to HTTPS client"),
            (invalid.clone(), b"SSH-2", "tls: first record does not look like a TLS handshake"),
            (invalid, b"\x16\x03\x03", "tls: received corrupt message of type InvalidContentType"),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                b"\x15",
                "remote error: tls: certificate required",
            ),
            (
                Error::AlertReceived(AlertDescription::Unknown(200)),
                b"\x15",
                "remote error: tls: alert(200)",
            ),
        ];
        for (error, first, want) in table {
            assert_eq!(failure(&error, first), want);
        }
    }
}
