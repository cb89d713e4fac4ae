/**
 * Bytes of a coarse copy (`Screening` in device.ts): panels of sixteen rows, a byte per weight, and per row a scale, an
 * error bound, a norm and a sum for every 2048 columns.
 */
export function coarseBytes(rows: number, columns: number): number {
  const quads = Math.ceil(columns / 4);
  return 64 * Math.ceil(rows / 16) * (quads + 3 + Math.ceil(quads / 512));
}
