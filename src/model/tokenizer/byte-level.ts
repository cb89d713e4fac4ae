/**
 * GPT-2's byte-level conventions (Radford et al. 2019, section 2.2): the pattern that cuts text into words, and a
 * printable character for each byte.
 */

/**
 * GPT-2's pattern, with Unicode's white space: JavaScript's `\s` includes U+FEFF and lacks U+0085.
 */
export const gpt2Pattern = [
  String.raw`'s|'t|'re|'ve|'m|'ll|'d`,
  String.raw` ?\p{L}+`,
  String.raw` ?\p{N}+`,
  String.raw` ?[^\p{White_Space}\p{L}\p{N}]+`,
  String.raw`\p{White_Space}+(?!\P{White_Space})`,
  String.raw`\p{White_Space}+`,
].join("|");

/**
 * GPT-2's bytes_to_unicode: bytes that print stand for themselves; the other 68 get U+0100, U+0101, … in byte order.
 */
export const byteSymbols: readonly string[] = symbolsOfBytes();

function symbolsOfBytes(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(prints ? byte : next++);
  });
}
