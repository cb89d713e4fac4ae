/** Source of thresholds: a certificate, or the published procedure, which guarantees nothing. */
export type Procedure = "certified" | "paper";
export const procedures = ["certified", "paper"] as const satisfies readonly Procedure[];
