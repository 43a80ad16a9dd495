//! URLs of endpoints and sessions: read, and resolved where they are relative (RFC 3986 §5.2).

use ureq::http::Uri;

/// The URL of an endpoint as a user gives it.
pub(super) fn parse(text: &str) -> Result<Uri, String> {
    let wrong =
        |why: &str| format!("{text:?} is no URL of an endpoint: {why}, such as http://127.0.0.1:8080/whip/film");
    let uri: Uri = text
        .parse()
        .map_err(|error| wrong(&format!("{error}; give one that begins with http:// or https://")))?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        Some(_) | None => Err(wrong("give one that begins with http:// or https://")),
    }
}

/// What `reference` means to who got it from `base`; `None` if it is no URL to be asked by HTTP.
pub(super) fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.trim();
    let (reference, _) = reference.split_once('#').unwrap_or((reference, ""));
    let (scheme, authority) = (base.scheme_str()?, base.authority()?.as_str());
    let absolute = if has_scheme(reference) {
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else {
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (reference, None),
        };
        let (path, query) = match path {
            "" => (base.path().to_owned(), query.or(base.query())),
            path if path.starts_with('/') => (without_dots(path), query),
            path => {
                let (folder, _) = base.path().rsplit_once('/').unwrap_or_default();
                (without_dots(&format!("{folder}/{path}")), query)
            }
        };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{scheme}://{authority}{path}{query}")
    };
    let uri: Uri = absolute.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    (is_http && uri.authority().is_some()).then_some(uri)
}

/// True if what was secret would no longer be.
pub(super) fn is_downgrade(from: &Uri, to: &Uri) -> bool {
    from.scheme_str() == Some("https") && to.scheme_str() != Some("https")
}

fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split([':', '/', '?']).next().unwrap_or_default();
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    reference[scheme.len()..].starts_with(':')
        && scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme)
}

/// RFC 3986 §5.2.4, for a path that begins with a slash.
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop();
                }
                if last {
                    segments.push("");
                }
            }
            part => segments.push(part),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3986 §5.4, of what `http` can be.
    #[test]
    fn references_are_resolved() {
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g..", "http://a/b/c/g.."),
            ("./../g", "http://a/b/g"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("https://other.example:8443/x?y", "https://other.example:8443/x?y"),
        ] {
            let resolved = resolve(&base, reference).map(|uri| uri.to_string());
            assert_eq!(resolved.as_deref(), Some(expected), "{reference}");
        }
        for reference in ["g:h", "mailto:somebody@example.org", "http://", "a b"] {
            assert_eq!(resolve(&base, reference), None, "{reference}");
        }
    }

    #[test]
    fn what_a_user_gives_is_a_url() {
        assert!(parse("https://example.org/whip/film").is_ok());
        for text in ["", "example.org/whip", "rtmp://example.org/live", "http://"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("http:// or https://"), "{error}");
            assert!(error.contains("http://127.0.0.1:8080/whip/film"), "{error}");
        }
        let [plain, secure] = ["http://a/", "https://a/"].map(|text| parse(text).unwrap());
        assert!(is_downgrade(&secure, &plain) && !is_downgrade(&plain, &secure));
    }
}
