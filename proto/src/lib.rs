//! Faultline's gRPC interface as Rust: client, server trait and messages of `faultline/v1/faultline.proto`, which is
//! also its reference documentation. Nothing here is written by hand but the way to the descriptors.
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use prost::{DecodeError, Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage};

/// Package `faultline.v1`.
#[allow(clippy::all, unused_qualifications, missing_docs)]
pub mod v1 {
    tonic::include_proto!("faultline.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the package and its imports, with comments: for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/faultline.v1.bin"));

/// The descriptors of the package.
#[allow(clippy::expect_used, reason = "the bytes come from the build script, and a test decodes them")]
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("descriptors of the build script"));
    &POOL
}

/// A message of this package as one that knows its field names. Its `Serialize` and `Deserialize` are proto3 JSON.
///
/// ```
/// use faultline_proto::{reflected, v1::{Node, node::{Impact, Kind}}};
/// let node = Node {
///     id: "dashboard:exec_orders".into(),
///     kind: Kind::Dashboard.into(),
///     impact: Impact::AtRisk.into(),
///     ..Node::default()
/// };
/// let json = serde_json::to_string(&reflected(&node).unwrap()).unwrap();
/// assert_eq!(json, r#"{"id":"dashboard:exec_orders","kind":"DASHBOARD","impact":"AT_RISK"}"#);
/// ```
///
/// # Errors
/// Where the message is of another package.
pub fn reflected<M: Message + Name>(message: &M) -> Result<DynamicMessage, DecodeError> {
    let name = M::full_name();
    let descriptor = descriptor_pool()
        .get_message_by_name(&name)
        .ok_or_else(|| DecodeError::new_unexpected_type_url(name, "faultline.v1.*"))?;
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
}
