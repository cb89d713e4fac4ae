/** The verifier's own tools. */

/** Adds the reason unless the statement holds. */
export type Check = (holds: boolean, reason: string) => void;

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Equal up to rounding; relative too, since p-values reach down to 1e-300. */
export function close(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-12 + 1e-6 * Math.min(Math.abs(a), Math.abs(b));
}

export function closeOrNull(a: number | null, b: number | null): boolean {
  return a === null || b === null ? a === b : close(a, b);
}

export function same(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return value === undefined ? "" : JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(",")}}`;
}

export async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
