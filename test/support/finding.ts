/** One number that a law measured and what it is held against: what lab/laws.ts tabulates. */
export interface Finding {
  readonly law: string;
  readonly where: string;
  readonly procedure: string;
  readonly delta: number;
  readonly runs: number;
  readonly measured: number;
  readonly limit: number;
  readonly relation: "at most" | "at least";
  readonly coverage?: number;
}
