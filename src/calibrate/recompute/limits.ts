/**
 * The largest certificate that is made or verified: verification then stays within two seconds and 200 megabytes,
 * whatever the file says.
 */
export const LIMITS = {
  documents: 20_000,
  /** Judged tokens of one document. */
  tokens: 2 ** 24,
  exits: 256,
  candidates: 1000,
  /** All numbers in lists of counts and losses together. */
  counts: 2_000_000,
  /** Losses to which a test's are repeated to see how many units are missing. */
  repeated: 500_000,
  /** The largest count of a changed token. */
  lossScale: 2 ** 20,
} as const;
