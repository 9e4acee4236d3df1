//! Certificates and servers made with OpenSSL, in this process.

use std::net::TcpListener;
use std::thread;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509NameBuilder;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};

use super::*;

const DAY: i64 = 86_400;

struct Signed {
    certificate: X509,
    key: PKey<Private>,
}

/// A certificate for these names, valid from and to so many days from now; an authority's own if nobody signs it.
fn certificate(name: &str, names: &[&str], days: (i64, i64), authority: Option<&Signed>) -> Signed {
    let make = || {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut subject = X509NameBuilder::new()?;
        subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
        let subject = subject.build();
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        let number = BigNum::from_u32(rand::random())?.to_asn1_integer()?;
        builder.set_serial_number(&number)?;
        builder.set_subject_name(&subject)?;
        let issuer = authority.map(|authority| authority.certificate.subject_name());
        builder.set_issuer_name(issuer.unwrap_or(&subject))?;
        builder.set_pubkey(&key)?;
        let now = i64::try_from(crate::time::since_epoch().as_secs()).expect("this century");
        let time = |day: i64| Asn1Time::from_unix(now + day * DAY);
        let (begin, end) = (time(days.0)?, time(days.1)?);
        builder.set_not_before(&begin)?;
        builder.set_not_after(&end)?;
        if authority.is_none() {
            builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        }
        if !names.is_empty() {
            let mut alternative = SubjectAlternativeName::new();
            for name in names {
                match name.parse::<IpAddr>() {
                    Ok(_) => alternative.ip(name),
                    Err(_) => alternative.dns(name),
                };
            }
            let alternative = alternative.build(&builder.x509v3_context(None, None))?;
            builder.append_extension(alternative)?;
        }
        let signer = authority.map_or(&key, |authority| &authority.key);
        builder.sign(signer, MessageDigest::sha256())?;
        let certificate = builder.build();
        Ok::<_, ErrorStack>(Signed { certificate, key })
    };
    make().expect("OpenSSL makes it")
}

/// Serves one handshake with this certificate; the address.
fn serve(signed: &Signed) -> String {
    let mut acceptor =
        SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("a server");
    acceptor
        .set_certificate(&signed.certificate)
        .expect("it is one");
    acceptor.set_private_key(&signed.key).expect("it fits");
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one").to_string();
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody comes");
        // The client may leave as soon as it has seen the certificate.
        drop(acceptor.accept(stream));
    });
    address
}

fn trust(authority: &Signed) -> Trust {
    Trust {
        location: None,
        pem: Some(pem(authority)),
        checks_name: true,
    }
}

fn pem(authority: &Signed) -> String {
    let pem = authority.certificate.to_pem().expect("it can be written");
    String::from_utf8(pem).expect("PEM is ASCII")
}

#[test]
fn expiry_another_name_and_an_unknown_authority_each_get_a_sentence_of_their_own() {
    let authority = certificate("lab CA", &[], (-2, 300), None);
    let stranger = certificate("another CA", &[], (-2, 300), None);
    let trust = trust(&authority);
    let signed = |names: &[&str], days| certificate("k", names, days, Some(&authority));
    let local = &["localhost", "127.0.0.1"][..];

    assert_eq!(inspect(&serve(&signed(local, (-2, 2))), &trust), None);

    let address = serve(&signed(local, (-2, -1)));
    let said = inspect(&address, &trust).expect("it has expired");
    let begin = format!("the certificate of {address} has expired (");
    assert!(
        said.starts_with(&begin) && said.ends_with("renew it at the broker"),
        "{said}"
    );

    let said = inspect(&serve(&signed(local, (1, 2))), &trust).expect("it is not valid yet");
    assert!(said.contains("is not valid before"), "{said}");

    let address = serve(&signed(&["kafka-0.example", "10.0.0.1"], (-2, 2)));
    let said = inspect(&address, &trust).expect("it is for other names");
    assert!(
        said.contains("is for kafka-0.example, 10.0.0.1 and not for 127.0.0.1"),
        "{said}"
    );
    assert!(
        !said.contains("expired") && !said.contains("authority"),
        "{said}"
    );

    let foreign = certificate("k", local, (-2, 2), Some(&stranger));
    let said = inspect(&serve(&foreign), &trust).expect("it is signed by a stranger");
    assert!(
        said.starts_with("the authority \"another CA\" that signed"),
        "{said}"
    );
    assert!(
        said.ends_with("add its certificate to \"ssl.ca.pem\""),
        "{said}"
    );
    assert_eq!(said.matches("authority").count(), 1, "{said}");

    let both = certificate("k", &["kafka-0.example"], (-2, -1), Some(&authority));
    let said = inspect(&serve(&both), &trust).expect("two faults");
    assert!(
        said.contains("has expired") && said.contains("is for kafka-0.example"),
        "{said}"
    );
    let unchecked = Trust {
        checks_name: false,
        ..trust
    };
    let said = inspect(&serve(&both), &unchecked).expect("one fault");
    assert!(
        said.contains("has expired") && !said.contains("is for"),
        "{said}"
    );
}

#[test]
fn without_an_answer_or_without_tls_there_is_nothing_to_say() {
    let trust = trust(&certificate("lab CA", &[], (-2, 300), None));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one").to_string();
    thread::spawn(move || drop(listener.accept()));
    assert_eq!(inspect(&address, &trust), None);
    assert_eq!(inspect("127.0.0.1:1", &trust), None);
    assert_eq!(inspect("no address", &trust), None);
}

#[test]
fn the_authorities_are_those_that_librdkafka_takes() {
    let (authority, stranger) = (
        certificate("lab CA", &[], (-2, 300), None),
        certificate("another CA", &[], (-2, 300), None),
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem(&authority)).expect("it is written");
    let file = file.to_str().expect("it is UTF-8").to_owned();
    let of_stranger = pem(&stranger);
    let told = |properties: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let trust = Trust::of(&properties.iter().map(owned).collect());
        let signed = certificate("k", &["127.0.0.1"], (-2, 2), Some(&authority));
        inspect(&serve(&signed), &trust).unwrap_or_default()
    };
    // A file; a text beside it, which adds to it; and a text beside librdkafka's own search, which it replaces.
    assert_eq!(told(&[("ssl.ca.location", &file)]), "");
    let both = [
        ("ssl.ca.location", file.as_str()),
        ("ssl.ca.pem", &of_stranger),
    ];
    assert_eq!(told(&both), "");
    let text = told(&[("ssl.ca.location", "probe"), ("ssl.ca.pem", &of_stranger)]);
    assert!(
        text.ends_with("add its certificate to \"ssl.ca.pem\""),
        "{text}"
    );
    let system = told(&[("ssl.ca.location", "probe")]);
    assert!(
        system.ends_with("\"ssl.ca.location\" (it is \"probe\")"),
        "{system}"
    );
}
