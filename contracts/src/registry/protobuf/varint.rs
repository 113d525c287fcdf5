//! Variable-length integers.

/// A varint of 64 bits at the beginning of some bytes, and the rest of them.
pub(super) fn read(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        // Of the tenth byte only one bit has room; the others are dropped, as Protobuf's readers do.
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Some((value, bytes.get(place + 1..).unwrap_or_default()));
        }
    }
    None
}

/// As [`read`], zig-zag.
pub(super) fn read_zig_zag(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = read(bytes)?;
    Some((zig_zag(value), rest))
}

/// The signed integer that a zig-zag varint is.
pub(super) fn zig_zag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_all_lengths() {
        assert_eq!(read(b"\x96\x01rest"), Some((150, &b"rest"[..])));
        assert_eq!(read(&[0xff; 9]), None);
        assert_eq!(read(&[0xff; 11]), None);
        let most = [&[0xff; 9][..], &[1]].concat();
        assert_eq!(read(&most), Some((u64::MAX, &b""[..])));
        assert_eq!([0, 1, 2, 3, u64::MAX].map(zig_zag), [0, -1, 1, -2, i64::MIN]);
    }
}
