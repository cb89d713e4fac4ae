/**
 * SHA-256 of a text without waiting, on any page, for seals of a few hundred kilobytes: FIPS 180-4, sections 4.1.2
 * (functions), 4.2.2 (constants), 5.1.1 (padding) and 6.2.2 (rounds). Larger data takes `sha256`.
 */
const primes: number[] = [];
for (let n = 2; primes.length < 64; n++) {
  if (primes.every((prime) => n % prime > 0)) primes.push(n);
}
/** The first 32 bits of the fractions of roots. */
const fractions = (root: (prime: number) => number): Int32Array =>
  Int32Array.from(primes, (prime) => ((root(prime) % 1) * 2 ** 32) | 0);
const START = fractions(Math.sqrt).subarray(0, 8);
const ROUNDS = fractions(Math.cbrt);

/** Lower-case hexadecimal. */
export function sha256Now(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const blocks = new Uint8Array(64 * (((bytes.length + 8) >> 6) + 1));
  blocks.set(bytes);
  blocks[bytes.length] = 0x80;
  const view = new DataView(blocks.buffer);
  view.setBigUint64(blocks.length - 8, 8n * BigInt(bytes.length));
  const sum = START.slice();
  const w = new Int32Array(64);
  for (let begin = 0; begin < blocks.length; begin += 64) {
    const s = sum.slice(); // word r of a to h lies at (r - t) & 7, so that nothing moves
    for (let t = 0; t < 64; t++) {
      w[t] = t < 16 ? view.getInt32(begin + 4 * t) : spread(w, t);
      const a = s[-t & 7]!;
      const b = s[(1 - t) & 7]!;
      const c = s[(2 - t) & 7]!;
      const e = s[(4 - t) & 7]!;
      const h = (7 - t) & 7;
      const chosen = (e & s[(5 - t) & 7]!) ^ (~e & s[(6 - t) & 7]!);
      const first = s[h]! + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + chosen + ROUNDS[t]! + w[t]!;
      s[(3 - t) & 7]! += first;
      s[h] = first + (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    }
    for (let i = 0; i < 8; i++) sum[i]! += s[i]!;
  }
  return Array.from(sum, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

function turn(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

function spread(w: Int32Array, t: number): number {
  const x = w[t - 15]!;
  const y = w[t - 2]!;
  return (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + w[t - 7]! + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10)) + w[t - 16]!;
}
