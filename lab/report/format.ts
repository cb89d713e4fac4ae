/** Numbers as reports write them. */

/** A share in percent: 0.951 -> "95.1 %". */
export function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A median with its range: "1.24 (1.19 to 1.28)". */
export function withRange({ median, low, high }: Readonly<Record<"median" | "low" | "high", number>>): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

/** The quartiles of samples: "1.19 to 1.28". */
export function quartiles(
  { lowerQuartile, upperQuartile }: Readonly<Record<"lowerQuartile" | "upperQuartile", number>>,
  digits = 2,
): string {
  return `${lowerQuartile.toFixed(digits)} to ${upperQuartile.toFixed(digits)}`;
}

/** The distance between the quartiles as a share of the median: "9 %". */
export function spread({
  median,
  lowerQuartile,
  upperQuartile,
}: Readonly<Record<"median" | "lowerQuartile" | "upperQuartile", number>>): string {
  return `${((100 * (upperQuartile - lowerQuartile)) / median).toFixed(0)} %`;
}
