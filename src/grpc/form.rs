//! Whether an HTTP request has the form of a gRPC call. What has not is answered as HTTP asks, before anything of it
//! is read.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;

const MEDIA_TYPE: &[u8] = b"application/grpc";

/// Returns what answers a request that is no gRPC call with protobuf messages: 405 for the wrong method, 415 for
/// another content type. `None` for a call.
pub fn objection<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.method() != Method::POST {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(answer);
    }
    let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    (!content_type.is_some_and(is_grpc)).then(|| plain(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

fn is_grpc(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let (media, format) = essence.split_at(essence.len().min(MEDIA_TYPE.len()));
    media.eq_ignore_ascii_case(MEDIA_TYPE) && (format.is_empty() || format.eq_ignore_ascii_case(b"+proto"))
}

fn plain(code: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = code;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_with_protobuf_is_what_is_spoken() {
        for good in ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=utf-8"] {
            assert!(is_grpc(good.as_bytes()), "{good}");
        }
        for bad in
            ["", "application/json", "application/grpc+json", "application/grpc-web", "application/grp"]
        {
            assert!(!is_grpc(bad.as_bytes()), "{bad}");
        }
    }
}
