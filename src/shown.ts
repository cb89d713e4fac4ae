/** A value from a file, for a message: as JSON, cut to a length that suits one, however large or deep it is. */
export function shown(value: unknown, depth = 2): string {
  switch (typeof value) {
    case "object":
      return value === null ? "null" : shownEntries(value, depth);
    case "string":
      return JSON.stringify(value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value);
    default:
      return String(value);
  }
}

const LONGEST = 80;
const MOST_ENTRIES = 8;

function shownEntries(value: object, depth: number): string {
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (depth === 0) return `${open}…${close}`;
  const keys = Object.keys(value);
  const entries = keys.slice(0, MOST_ENTRIES).map((key) => {
    const entry = shown((value as Readonly<Record<string, unknown>>)[key], depth - 1);
    return Array.isArray(value) ? entry : `${shown(key)}:${entry}`;
  });
  return `${open}${entries.join(",")}${keys.length > MOST_ENTRIES ? ",…" : ""}${close}`;
}
