//! Masking of payloads: RFC 6455 section 5.3.

/// What LLVM turns into vector instructions at once.
const BLOCK: usize = 32;

/// Masks or unmasks `payload` in place; it begins with `mask[0]`.
#[inline]
pub fn apply(payload: &mut [u8], mask: [u8; 4]) {
    let word = u64::from(u32::from_ne_bytes(mask)) * 0x1_0000_0001;
    let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
    for block in blocks {
        let (words, _) = block.as_chunks_mut::<8>();
        words.iter_mut().for_each(|bytes| xor(bytes, word));
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    words.iter_mut().for_each(|bytes| xor(bytes, word));
    for (byte, mask) in rest.iter_mut().zip(word.to_ne_bytes()) {
        *byte ^= mask;
    }
}

#[inline]
fn xor(bytes: &mut [u8; 8], word: u64) {
    *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
}

/// The mask for what follows `bytes` masked bytes.
pub fn after(mut mask: [u8; 4], bytes: usize) -> [u8; 4] {
    mask.rotate_left(bytes % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// RFC 6455: "transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4)".
        #[test]
        fn it_is_what_the_rfc_says_in_any_two_parts(mut payload: Vec<u8>, mask: [u8; 4], cut: prop::sample::Index) {
            let expected: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            let cut = cut.index(payload.len() + 1);
            let (start, end) = payload.split_at_mut(cut);
            apply(start, mask);
            apply(end, after(mask, cut));
            prop_assert_eq!(payload, expected);
        }
    }
}
