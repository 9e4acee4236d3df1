//! The computations that the request path cannot avoid, without HTTP.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::IgnoredAny;
use sha2::Sha256;

use ringback::ingest::Ingest;

use crate::support::bodies::{self, Body, Size};
use crate::support::options::Options;
use crate::support::report::{Report, median_of};
use crate::{AtOnce, SIZES};

/// Few enough to stay in a cache, because the relay's bodies are there too when it has just received them.
const BODIES: usize = 32;

/// µs per event of each part, measured one after the other on one thread.
pub fn measure(options: &Options, product: &Ingest<AtOnce>, report: &mut Report) {
    let sizes = SIZES.iter().filter(|size| **size != Size::Mix);
    for size in sizes {
        let bodies = bodies::bodies(*size, BODIES, 1);
        let time = Duration::from_millis(if options.short { 50 } else { 200 });
        let rounds: Vec<[f64; 5]> = (0..options.rounds)
            .map(|_| round(&bodies, product, time))
            .collect();
        let of = |index: usize| median_of(&rounds, |parts| parts[index]);
        report.row(
            &format!("computing alone, {}", size.label()),
            &[
                ("hmac_sha256_us", of(0)),
                ("blake3_us", of(1)),
                ("validate_us", of(2)),
                ("serde_json_us", of(3)),
                ("crc32c_us", of(4)),
            ],
        );
    }
}

fn round(bodies: &[Body], product: &Ingest<AtOnce>, time: Duration) -> [f64; 5] {
    let key = Hmac::<Sha256>::new_from_slice(b"key_of_the_bench").expect("any length is a key");
    [
        each(bodies, time, |body| {
            let mut mac = key.clone();
            mac.update(body);
            black_box(mac.finalize());
        }),
        each(bodies, time, |body| {
            black_box(blake3::hash(body));
        }),
        each(bodies, time, |body| {
            assert!(black_box(product.validates(0, body)));
        }),
        // The same check without the key, by the library that decides when the scan gives up.
        each(bodies, time, |body| {
            let text = std::str::from_utf8(body).expect("it is text");
            let _: IgnoredAny = black_box(serde_json::from_str(text).expect("it is JSON"));
        }),
        each(bodies, time, |body| {
            black_box(crc32c::crc32c(body));
        }),
    ]
}

fn each(bodies: &[Body], time: Duration, work: impl Fn(&[u8])) -> f64 {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        for body in bodies {
            work(black_box(&body.bytes));
        }
        count += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count) / bodies.len() as f64
}
