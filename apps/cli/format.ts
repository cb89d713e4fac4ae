/** Numbers for people: a few significant digits, units spelled out. */

/** 1234567 -> "1.23 M"; below 10,000 all digits. */
export function count(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} G`;
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 1e4) return `${(value / 1e3).toPrecision(3)} k`;
  return String(Math.round(value));
}

/** Bytes -> "12.3 MB". */
export function bytes(size: number): string {
  const [unit, name] =
    size >= 1e9 ? ([1e9, "GB"] as const) : size >= 1e6 ? ([1e6, "MB"] as const) : ([1e3, "kB"] as const);
  return `${Number((size / unit).toPrecision(3))} ${name}`;
}

/** 0.9512 -> "95.1 %"; "-" for a share that was not measured. */
export function percent(share: number | null | undefined, digits = 1): string {
  return share === null || share === undefined || Number.isNaN(share) ? "-" : `${(100 * share).toFixed(digits)} %`;
}

/** A share with all its digits: one that is promised is not rounded. */
export function promised(share: number): string {
  return `${Number((100 * share).toPrecision(12))} %`;
}

/** Seconds -> "42 s", "3 min 20 s", "2 h 5 min". */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** 1.2 -> "1.20x". */
export function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}

export function speed(tokensPerSecond: number): string {
  return Number.isFinite(tokensPerSecond) ? `${count(tokensPerSecond)} tokens/s` : "-";
}

/** Four digits, or "always" or "never". */
export function threshold(value: number | string): string {
  return typeof value === "number" ? value.toPrecision(4) : value;
}

/** Indented columns; all but the first aligned to the right, unless `words`. */
export function table(rows: readonly (readonly string[])[], { words = false } = {}): string[] {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)), []);
  return rows.map((row) => {
    const cells = row.map((cell, i) => (i === 0 || words ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)));
    return `  ${cells.join("  ")}`.trimEnd();
  });
}
