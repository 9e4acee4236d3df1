//! Genuine requests: documented examples, or signed by the sender's own library.

use std::time::Duration;

use super::super::config::{Digest, Encoding};
use super::super::twilio_url::TwilioUrl;
use super::super::{BearerConfig, HmacConfig, SchemeConfig, TwilioConfig, Verify};

/// One request that its sender has signed.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) verify: Verify,
    /// The secret as the sender shows it.
    pub(super) key: &'static str,
    /// Well formed, but not the one that signed.
    pub(super) another_key: &'static str,
    /// Names in lower case. The first `signed_headers` must all be there, the signature first.
    pub(super) headers: Vec<(String, String)>,
    pub(super) signed_headers: usize,
    pub(super) uri: &'static str,
    pub(super) body: Vec<u8>,
    /// When it was signed.
    pub(super) now_ms: u64,
    /// How old, and how far ahead it may be ([`Duration::MAX`]: any); `None` if no time is signed.
    pub(super) tolerance: Option<[Duration; 2]>,
    /// The header with the message's id, and the id.
    pub(super) id: Option<(&'static str, &'static str)>,
    hmac: Option<HmacConfig>,
    twilio: Option<TwilioConfig>,
    bearer: Option<BearerConfig>,
}

impl Sample {
    pub(super) fn config(&self) -> SchemeConfig<'_> {
        SchemeConfig {
            verify: self.verify,
            keys: &[],
            hmac: self.hmac.as_ref(),
            twilio: self.twilio.as_ref(),
            bearer: self.bearer.as_ref(),
        }
    }

    fn new(verify: Verify, [key, another_key]: [&'static str; 2], body: &[u8]) -> Self {
        Self {
            verify,
            key,
            another_key,
            headers: Vec::new(),
            signed_headers: 0,
            uri: "/",
            body: body.to_vec(),
            now_ms: 1_614_265_330_000,
            tolerance: None,
            id: None,
            hmac: None,
            twilio: None,
            bearer: None,
        }
    }

    /// Another header that must be there.
    fn signed(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self.signed_headers += 1;
        self
    }

    /// Another header.
    fn beside(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn within(self, behind: Duration, ahead: Duration) -> Self {
        Self {
            tolerance: Some([behind, ahead]),
            ..self
        }
    }

    fn known_as(self, header: &'static str, id: &'static str) -> Self {
        Self {
            id: Some((header, id)),
            ..self
        }
    }
}

const FIVE_MINUTES: Duration = Duration::from_mins(5);
const TEXTS: [&str; 2] = ["whsec_test_secret", "whsec_another_secret"];

pub(super) fn samples() -> Vec<Sample> {
    let mut samples = vec![retell(), github(), stripe(), slack(), shopify()];
    samples.extend(standard_webhooks());
    samples.extend(twilio());
    samples.extend(hmac());
    samples.extend(credentials());
    samples
}

/// The first of the vectors of Retell's SDK in `tests/fixtures`.
fn retell() -> Sample {
    let fixture = include_str!("../../../../tests/fixtures/retell-signatures.json");
    let vectors: serde_json::Value = serde_json::from_str(fixture).unwrap();
    let vectors = vectors.as_array().unwrap().iter();
    let vector = vectors
        .clone()
        .find(|vector| vector["body"].is_string())
        .unwrap();
    let key: &'static str = vector["key"].as_str().unwrap().to_owned().leak();
    let sample = Sample::new(
        Verify::Retell,
        [key, "another"],
        vector["body"].as_str().unwrap().as_bytes(),
    )
    .signed("x-retell-signature", vector["header"].as_str().unwrap())
    .within(FIVE_MINUTES, FIVE_MINUTES);
    Sample {
        now_ms: vector["timestamp_ms"].as_u64().unwrap(),
        ..sample
    }
}

/// The example of GitHub's documentation.
fn github() -> Sample {
    Sample::new(
        Verify::Github,
        ["It's a Secret to Everybody", "another"],
        b"Hello, World!",
    )
    .signed(
        "x-hub-signature-256",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    )
    .beside("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    .known_as("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
}

/// By Stripe's Node library, `generateTestHeaderString`.
fn stripe() -> Sample {
    let body =
        br#"{"id":"evt_1","object":"event","type":"invoice.paid","data":{"object":{"id":"in_1"}}}"#;
    Sample::new(Verify::Stripe, TEXTS, body)
        .signed(
            "stripe-signature",
            "t=1614265330,v1=707faf47be474a524d71e331ee07ffd491290ef02e4f6874b3d1b943d63092bb",
        )
        .within(FIVE_MINUTES, Duration::MAX)
}

/// The example of Slack's documentation.
fn slack() -> Sample {
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar\
        &user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let keys = ["8f742231b10e8888abcd99yyyzzz85a5", "another"];
    let sample = Sample::new(Verify::Slack, keys, body)
        .signed(
            "x-slack-signature",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        )
        .signed("x-slack-request-timestamp", "1531420618")
        .within(FIVE_MINUTES, FIVE_MINUTES);
    Sample {
        now_ms: 1_531_420_618_000,
        ..sample
    }
}

/// By the documented algorithm, in Node's crypto.
fn shopify() -> Sample {
    Sample::new(
        Verify::Shopify,
        ["hush", "another"],
        br#"{"id":820982911946154508}"#,
    )
    .signed(
        "x-shopify-hmac-sha256",
        "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I=",
    )
    .beside(
        "x-shopify-webhook-id",
        "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    )
    .known_as(
        "x-shopify-webhook-id",
        "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    )
}

/// The example of the official libraries; its Ed25519 counterpart is by OpenSSL with the key of RFC 8032, section 7.1, test 1.
fn standard_webhooks() -> [Sample; 3] {
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const HMAC: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const ED25519: &str = "v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw==";
    let secrets = [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx",
    ];
    let publics = [
        "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
    ];
    [
        (
            secrets,
            HMAC,
            ["webhook-signature", "webhook-id", "webhook-timestamp"],
        ),
        (
            secrets,
            HMAC,
            ["svix-signature", "svix-id", "svix-timestamp"],
        ),
        (
            publics,
            ED25519,
            ["webhook-signature", "webhook-id", "webhook-timestamp"],
        ),
    ]
    .map(|(keys, signature, [signed, id, timestamp])| {
        Sample::new(Verify::StandardWebhooks, keys, BODY)
            .signed(signed, signature)
            .signed(id, ID)
            .signed(timestamp, "1614265330")
            .within(FIVE_MINUTES, FIVE_MINUTES)
            .known_as(id, ID)
    })
}

/// The example of Twilio's documentation, and two requests that its Node library has signed.
fn twilio() -> [Sample; 3] {
    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
    let sample = |signature, uri, content_type, body: &[u8]| Sample {
        uri,
        twilio: Some(TwilioConfig {
            url: TwilioUrl::parse("https://mycompany.com/myapp.php").unwrap(),
        }),
        ..Sample::new(Verify::Twilio, ["12345", "another"], body)
            .signed("x-twilio-signature", signature)
            .beside("content-type", content_type)
            .beside(
                "i-twilio-idempotency-token",
                "7d1ee6c0-8e26-4ef5-9a35-60dbcc5ba4a8",
            )
            .known_as(
                "i-twilio-idempotency-token",
                "7d1ee6c0-8e26-4ef5-9a35-60dbcc5ba4a8",
            )
    };
    [
        sample(
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
            "/twilio?foo=1&bar=2",
            FORM,
            b"To=%2B18005551212&CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309",
        ),
        // `:443` was signed, and a parameter that comes three times with two values.
        sample("MJWoklubfI08WcgKHdCcDILJxVk=", "/twilio", FORM, b"MediaUrl=b&X=1&MediaUrl=a&MediaUrl=b"),
        sample(
            "+kSuX/0ZJYA1+JmgZwzpaeDUJPg=",
            "/twilio?bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
            "application/json",
            br#"{"a":1}"#,
        ),
    ]
}

/// By Node's crypto.
fn hmac() -> [Sample; 2] {
    let content = HmacConfig {
        header: String::from("X-Signature"),
        prefix: String::from("sha512="),
        encoding: Encoding::Base64,
        digest: Digest::Sha512,
        content: String::from("v1:{timestamp}:{id}:{body}"),
        timestamp_header: Some(String::from("X-Timestamp")),
        id_header: Some(String::from("X-Id")),
        tolerance: Duration::from_secs(30),
        ..HmacConfig::default()
    };
    let alone = HmacConfig {
        header: String::from("X-Hub-Signature-256"),
        encoding: Encoding::HexUpper,
        ..HmacConfig::default()
    };
    [
        Sample {
            hmac: Some(content),
            ..Sample::new(Verify::Hmac, ["key", "another"], br#"{"a":1}"#)
                .signed(
                    "x-signature",
                    "sha512=BcuVLZM4zsqGy2bVnDiMC/BlAQT8Hk6+UR1MUQMYTgiqT/cWa42AIk2FmOjcvr0kcLvloqAr3rsQHeNT9h2ftQ==",
                )
                .signed("x-timestamp", "1614265330")
                .signed("x-id", "m-1")
                .within(Duration::from_secs(30), Duration::from_secs(30))
                .known_as("x-id", "m-1")
        },
        Sample {
            hmac: Some(alone),
            ..Sample::new(Verify::Hmac, ["It's a Secret to Everybody", "another"], b"Hello, World!").signed(
                "x-hub-signature-256",
                "757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17",
            )
        },
    ]
}

/// The examples of RFC 6750, section 2.1, and RFC 7617, section 2; and a token alone in its header.
fn credentials() -> [Sample; 3] {
    let token = ["mF_9.B5f-4.1JqM", "another"];
    [
        Sample::new(Verify::Bearer, token, b"{}").signed("authorization", "Bearer mF_9.B5f-4.1JqM"),
        Sample {
            bearer: Some(BearerConfig {
                header: String::from("X-Vapi-Secret"),
            }),
            ..Sample::new(Verify::Bearer, token, b"{}").signed("x-vapi-secret", "mF_9.B5f-4.1JqM")
        },
        Sample::new(
            Verify::Basic,
            ["Aladdin:open sesame", "Aladdin:another"],
            b"{}",
        )
        .signed("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    ]
}
