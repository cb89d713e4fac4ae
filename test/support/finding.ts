/** A number that a law measured, and its limit: a row in the table of lab/laws.ts. */
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
