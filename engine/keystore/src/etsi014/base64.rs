//! Base64 of key, decoded without a table: no index and no branch depends on a character.
//!
//! The tables of the usual decoders are indexed by the secret, and what they leave in the cache
//! tells of it. Here a character's value is arithmetic over the five runs of the alphabet, which a
//! compiler does for many characters at once. Only whether all of a text is base64 is told.
//!
//! The crate base64ct does the same a character at a time: side by side it took six times as long.

use zeroize::Zeroizing;

/// Characters that are decoded at a time.
const STEP_CHARACTERS: usize = 64;

/// Bytes that a step gives.
const STEP_BYTES: usize = STEP_CHARACTERS / 4 * 3;

/// Characters of `bytes` bytes in base64 with padding.
pub(super) const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// A text that is not base64, or not of as many bytes as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotBase64;

/// Decodes all of `text`, with padding, into `target`, which it must fill exactly. Afterwards
/// `target` is not to be used where that failed.
///
/// # Errors
/// Where it is no base64 of that length.
pub(super) fn decode(text: &[u8], target: &mut [u8]) -> Result<(), NotBase64> {
    if text.len() != encoded_len(target.len()) {
        return Err(NotBase64);
    }
    let padding = (3 - target.len() % 3) % 3;
    let (text, pads) = text.split_at(text.len() - padding);
    if pads.iter().any(|pad| *pad != b'=') {
        return Err(NotBase64);
    }
    let mut odd = 0;
    let mut values = Zeroizing::new([0; STEP_CHARACTERS]);
    let (steps, rest) = text.as_chunks::<STEP_CHARACTERS>();
    let (step_targets, rest_target) = target.as_chunks_mut::<STEP_BYTES>();
    for (step, target) in steps.iter().zip(step_targets) {
        odd |= decode_step(step, target, &mut values);
    }
    // What is left is no whole step: `A`s, which stand for zeros, make it one.
    let mut step = Zeroizing::new([b'A'; STEP_CHARACTERS]);
    let mut bytes = Zeroizing::new([0; STEP_BYTES]);
    step[..rest.len()].copy_from_slice(rest);
    odd |= decode_step(&step, &mut bytes, &mut values);
    rest_target.copy_from_slice(&bytes[..rest_target.len()]);
    // Bits behind the last byte are zero, so that there is one text for each key.
    odd |= bytes[rest_target.len()];
    if odd == 0 { Ok(()) } else { Err(NotBase64) }
}

/// Decodes one step by way of `values`; ones where a character has no value.
fn decode_step(
    step: &[u8; STEP_CHARACTERS],
    target: &mut [u8; STEP_BYTES],
    values: &mut [u8; STEP_CHARACTERS],
) -> u8 {
    let mut odd = [0; STEP_CHARACTERS];
    // Of fixed length and without dependence, so that it becomes vector instructions.
    for ((value, odd), character) in values.iter_mut().zip(&mut odd).zip(step) {
        (*value, *odd) = value_of(*character);
    }
    let (groups, _) = values.as_chunks::<8>();
    let (targets, _) = target.as_chunks_mut::<6>();
    for (bytes, values) in targets.iter_mut().zip(groups) {
        // Six bits of each byte, then twelve of each two, then twenty-four of each four.
        let six = u64::from_be_bytes(*values);
        let twelve = ((six & 0x3F00_3F00_3F00_3F00) >> 2) | (six & 0x003F_003F_003F_003F);
        let half = ((twelve & 0x0FFF_0000_0FFF_0000) >> 4) | (twelve & 0x0000_0FFF_0000_0FFF);
        let all = ((half & 0x00FF_FFFF_0000_0000) >> 8) | (half & 0x00FF_FFFF);
        bytes.copy_from_slice(&all.to_be_bytes()[2..]);
    }
    odd.iter().fold(0, |all, odd| all | odd)
}

/// The value of a character, and ones where it has none.
fn value_of(character: u8) -> (u8, u8) {
    // Ones where the character is one of `count` from `first` on.
    let within = |first: u8, count: u8| u8::from(character.wrapping_sub(first) < count) * 0xFF;
    let upper = within(b'A', 26);
    let lower = within(b'a', 26);
    let digit = within(b'0', 10);
    let plus = within(b'+', 1);
    let slash = within(b'/', 1);
    let value = (upper & character.wrapping_sub(b'A'))
        | (lower & character.wrapping_sub(b'a').wrapping_add(26))
        | (digit & character.wrapping_sub(b'0').wrapping_add(52))
        | (plus & 62)
        | (slash & 63);
    (value, !(upper | lower | digit | plus | slash))
}
#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    #[test]
    fn every_length_is_decoded_as_another_decoder_does() {
        let bytes: Vec<u8> = (0..400_u32).map(|at| (at * 167 % 251) as u8).collect();
        for len in 0..bytes.len() {
            let text = BASE64_STANDARD.encode(&bytes[..len]);
            assert_eq!(text.len(), encoded_len(len));
            let mut found = vec![0xA5; len];
            decode(text.as_bytes(), &mut found).unwrap();
            assert_eq!(found, bytes[..len]);
        }
    }

    #[test]
    fn every_character_is_what_another_decoder_says_at_every_place() {
        for place in 0..8 {
            for character in 0..=u8::MAX {
                let mut text = *b"QUJDREVG";
                text[place] = character;
                let mut found = [0; 6];
                let outcome = decode(&text, &mut found).ok().map(|()| found.to_vec());
                let expected = BASE64_STANDARD.decode(text).ok().filter(|found| found.len() == 6);
                assert_eq!(outcome, expected, "{character:#x} at {place}");
            }
        }
    }

    #[test]
    fn padding_and_the_bits_behind_the_end_are_as_they_must_be() {
        let mut one = [0];
        assert_eq!(decode(b"QQ==", &mut one), Ok(()));
        for wrong in ["QR==", "QQ=A", "QQA=", "Q===", "QQ", "QQ=", "====", "QQ==QQ=="] {
            assert_eq!(decode(wrong.as_bytes(), &mut one), Err(NotBase64), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_another_decoder_reads_it(
            text in "[A-Za-z0-9+/=\\-_ é]{0,200}",
            bytes in 0_usize..160,
        ) {
            let mut found = vec![0; bytes];
            let outcome = decode(text.as_bytes(), &mut found).ok().map(|()| found);
            let expected = BASE64_STANDARD.decode(&text).ok().filter(|found| found.len() == bytes);
            prop_assert_eq!(outcome, expected);
        }
    }
}
