//! The inspector's page, embedded: it needs no build step, no folder and no network.

/// What the page may load and run: its own files, and nothing that a request's body could smuggle in.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The content type and the bytes of the page's file at this path of the URL.
pub fn file(path: &str) -> Option<(&'static str, &'static [u8])> {
    match path {
        "/" => Some((
            "text/html; charset=utf-8",
            include_bytes!("page/index.html"),
        )),
        _ => None,
    }
}
