/** Changes of JSON and bytes, as fast-check arbitraries: every change is a value, so a failure can be replayed. */
import fc from "fast-check";

/**
 * Values that readers must expect in any field. Large ones are described, `{ nested: 1000 }`, so that a failure prints
 * in a line; see `expanded`.
 */
export const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    "",
    "constructor",
    "__proto__",
    "toString",
    "../x",
    "https:other.example/x",
    "\u0000",
    0,
    -1,
    1,
    0.5,
    1e300,
    -1e-300,
    2 ** 31,
    2 ** 32 + 1,
    2 ** 53,
    1e6,
    1e8,
    [],
    {},
    [[]],
    { type: "constructor" },
    { letters: 100_000 },
  ),
  fc.constantFrom({ nested: 10 }, { nested: 1000 }, { nested: 2000 }, { listed: 100 }, { listed: 20_000 }),
  fc.integer(),
  fc.double(),
  fc.string(),
);

/** The value that a description stands for; others as they are. */
function expanded(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const { nested, listed, letters } = value as { nested?: number; listed?: number; letters?: number };
  if (letters !== undefined) return "x".repeat(letters);
  if (listed !== undefined) return Array.from({ length: listed }, () => ({}));
  if (nested === undefined) return value;
  let deep: unknown = [];
  for (let i = 1; i < nested; i++) deep = [deep];
  return deep;
}

/** A change at one place of a JSON value: which place (a share of all), and what becomes of it. */
export interface JsonChange {
  readonly place: number;
  readonly action: "replace" | "remove" | "duplicate";
  readonly value: unknown;
}

export const jsonChange: fc.Arbitrary<JsonChange> = fc.record({
  place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  action: fc.constantFrom("replace", "replace", "replace", "remove", "duplicate"),
  value: oddValue,
});

type Container = Record<string | number, unknown>;

/** A copy of a JSON value with a change at one of its places. */
export function changedJson(json: unknown, { place, action, value }: JsonChange): unknown {
  const copy = structuredClone(json);
  const places: { readonly at: Container; readonly key: string }[] = [];
  const visit = (at: unknown, depth: number): void => {
    if (typeof at !== "object" || at === null || depth > DEEPEST) return;
    for (const key of Object.keys(at).slice(0, MOST_KEYS)) {
      places.push({ at: at as Container, key });
      visit((at as Container)[key], depth + 1);
    }
  };
  visit(copy, 0);
  const chosen = places[Math.floor(place * places.length)];
  if (chosen === undefined) return expanded(value);
  const { at, key } = chosen;
  if (action === "replace") at[key] = expanded(value);
  else if (action === "remove") Reflect.deleteProperty(at, key);
  else at[`${key}${key}`] = at[key];
  return copy;
}

/** Vocabularies have many keys alike; a few of them stand for all. */
const MOST_KEYS = 24;
const DEEPEST = 12;

/** A change of a file's bytes. */
export interface ByteChange {
  /** Where, as a share of the file; near its beginning more often. */
  readonly place: number;
  readonly action: "flip" | "zero" | "truncate" | "insert" | "double";
  readonly value: number;
}

export const byteChange: fc.Arbitrary<ByteChange> = fc.record({
  place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }).map((share) => share ** 3),
  action: fc.constantFrom("flip", "flip", "zero", "truncate", "insert", "double"),
  value: fc.nat(255),
});

/** A copy of a file with a change. */
export function changedBytes(bytes: Uint8Array, { place, action, value }: ByteChange): Uint8Array {
  const at = Math.floor(place * bytes.length);
  const copy = bytes.slice();
  switch (action) {
    case "flip":
      copy[at] = (copy[at] ?? 0) ^ (value || 1);
      return copy;
    case "zero":
      return copy.fill(0, at, at + 8);
    case "truncate":
      return copy.slice(0, at);
    case "insert":
      return Uint8Array.from([...copy.subarray(0, at), value, ...copy.subarray(at)]);
    case "double":
      return Uint8Array.from([...copy, ...copy]);
  }
}
