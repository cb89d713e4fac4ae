/**
 * Checks that parsed JSON is shaped as a certificate: type and range of every member before any arithmetic. Nothing is
 * coerced, unknown members are refused, and list lengths are bounded (limits.ts), so what follows runs in bounded time
 * and memory. The verifier begins with it, and whoever opens a certificate.
 */
import { LIMITS } from "./limits.js";

/** True if legal; otherwise reports why, by path. */
type Shape = (value: unknown, path: string, report: Report) => boolean;

interface Report {
  readonly reasons: string[];
  /** Entries of lists of counts that may still come. */
  room: number;
}

/** At most a handful of reasons. */
export function shapeReasons(json: unknown): string[] {
  const report: Report = { reasons: [], room: LIMITS.counts };
  certificate(json, "certificate", report);
  return report.reasons;
}

const ENOUGH = 8;

function refuse({ reasons }: Report, path: string, expected: string, value: unknown): false {
  if (reasons.length < ENOUGH) reasons.push(`${path} is ${shown(value)}; expected ${expected}`);
  return false;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

function leaf(isLegal: (value: unknown) => boolean, expected: string): Shape {
  return (value, path, report) => isLegal(value) || refuse(report, path, expected, value);
}

const integer = (min: number, max: number) =>
  leaf(
    (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
    `an integer from ${min} to ${max}`,
  );

/** At both ends; `inside`: between them. */
const number = (min: number, max: number) =>
  leaf((value) => typeof value === "number" && value >= min && value <= max, `a number from ${min} to ${max}`);
const inside = (min: number, max: number) =>
  leaf((value) => typeof value === "number" && value > min && value < max, `a number between ${min} and ${max}`);

const oneOf = (...values: readonly (string | number | boolean | null)[]) =>
  leaf((value) => values.includes(value as string), `one of ${values.map((one) => String(one)).join(", ")}`);

const text = (longest: number) =>
  leaf(
    (value) => typeof value === "string" && value.length >= 1 && value.length <= longest,
    `a text of 1 to ${longest} characters`,
  );

const spelled = (pattern: RegExp, expected: string) =>
  leaf((value) => typeof value === "string" && pattern.test(value), expected);

function either(...shapes: readonly Shape[]): Shape {
  return (value, path, report) => {
    const legal = shapes.some((shape) => {
      const trial: Report = { reasons: [], room: report.room };
      if (!shape(value, path, trial)) return false;
      report.room = trial.room;
      return true;
    });
    if (!legal) shapes.at(-1)!(value, path, report);
    return legal;
  };
}

const nothing = leaf((value) => value === null, "null");

function list(shape: Shape, longest: number): Shape {
  return (value, path, report) => {
    if (!Array.isArray(value) || value.length > longest) {
      return refuse(report, path, `a list of at most ${longest} entries`, value);
    }
    for (let i = 0; i < value.length; i++) {
      if (!shape(value[i], `${path}.${i}`, report) && report.reasons.length >= ENOUGH) return false;
    }
    return report.reasons.length === 0;
  };
}

/** Counts towards the room that all lists share. */
function numbers(shape: Shape): Shape {
  return (value, path, report) => {
    if (!Array.isArray(value) || value.length > report.room) {
      return refuse(report, path, `a list; all lists of counts hold at most ${LIMITS.counts} numbers together`, value);
    }
    report.room -= value.length;
    return list(shape, LIMITS.counts)(value, path, report);
  };
}

type Members = Readonly<Record<string, Shape>>;

function object(required: Members, optional: Members = {}): Shape {
  return (value, path, report) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return refuse(report, path, "an object", value);
    }
    const members = value as Readonly<Record<string, unknown>>;
    for (const name of Object.keys(members)) {
      if (Object.hasOwn(required, name) || Object.hasOwn(optional, name)) continue;
      return refuse(report, `${path}.${name.slice(0, 40)}`, "no such member", members[name]);
    }
    let legal = true;
    for (const [name, shape] of Object.entries(required)) {
      const present = Object.hasOwn(members, name);
      legal = (present ? shape(members[name], `${path}.${name}`, report) : absent(report, `${path}.${name}`)) && legal;
    }
    for (const [name, shape] of Object.entries(optional)) {
      if (Object.hasOwn(members, name)) legal = shape(members[name], `${path}.${name}`, report) && legal;
    }
    return legal;
  };
}

function absent(report: Report, path: string): false {
  if (report.reasons.length < ENOUGH) report.reasons.push(`${path} is missing`);
  return false;
}

const hash = spelled(/^[0-9a-f]{64}$/, "a SHA-256 in hexadecimal");
const share = inside(0, 1);
const finite = number(-Number.MAX_VALUE, Number.MAX_VALUE);
const positive = number(Number.MIN_VALUE, Number.MAX_VALUE);
const chance = number(0, 1);
const depth = integer(1, 100_000);
const score = oneOf("entropy", "maxProb", "margin", "probGap");
const fill = oneOf("lazy", "project", "shared");
/** Dtype of the weights, and of the cache of keys and values unless it is float32. */
const dtype = spelled(
  /^(float32|bfloat16|int8|int4|stored)( with (bfloat16|int8) cache)?$/,
  "a way of storing weights",
);
const loss = oneOf("token", "totalVariation", "anyChange", "changed", "rougeL", "accuracy", "worse", "own");
/** It is printed: no control characters. */
const line = spelled(/^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u, "one line of 1 to 200 characters");
const threshold = either(finite, oneOf("never", "always"));
const thresholds = list(threshold, LIMITS.exits);
const count = integer(0, LIMITS.tokens * LIMITS.lossScale);
const tokens = integer(1, LIMITS.tokens);
const total = integer(1, Number.MAX_SAFE_INTEGER);
const index = integer(0, LIMITS.candidates);
const whole = integer(0, Number.MAX_SAFE_INTEGER);
/** Of texts; that of a split is not negative. */
const seed = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
const orNull = (shape: Shape) => either(nothing, shape);

const sampling = object({
  temperature: number(0, 100),
  topK: integer(0, 2 ** 31),
  topP: chance,
  minP: chance,
  repetitionPenalty: inside(0, 100),
});
const reference = object({ kind: oneOf("same", "other"), dtype, checkpoint: hash });
const policy = object({
  format: oneOf("early-exits/policy"),
  version: oneOf(1),
  score,
  exits: list(object({ depth, threshold }), LIMITS.exits),
  fill,
  agreement: share,
  modelHash: hash,
  headsHash: hash,
  certified: object(
    { sampling, reference, loss, agreement: share, score, thresholds, fill, dtype },
    { impossible: oneOf(true), length: integer(2, LIMITS.tokens), population: line },
  ),
});
const costs = object({
  reach: list(positive, LIMITS.exits),
  head: list(positive, LIMITS.exits),
  full: positive,
});
const counts = { thresholds, left: numbers(count), wrong: numbers(count), deep: numbers(count) };
/** Of accuracy, which may be gained, otherwise from 0 on (verify-test.ts). */
const difference = number(-1, 1);
const answers = object({ losses: numbers(difference), written: numbers(tokens), hashes: numbers(hash) });
const candidate = object(
  { ...counts, cost: number(0, Number.MAX_VALUE), risk: difference, pValue: chance },
  { answers, written: numbers(tokens) },
);
const test = object({
  candidates: list(candidate, LIMITS.candidates),
  planned: index,
  accepted: index,
  chosen: either(index, oneOf("never")),
});
const exitOutcome = object({
  depth,
  reached: whole,
  left: whole,
  coverage: orNull(chance),
  agreement: orNull(chance),
});

const copy = object({ hash, tokens }, { group: hash, answer: hash });

const certificate = object(
  {
    format: oneOf("early-exits/certificate"),
    version: oneOf(3),
    libraryVersion: text(40),
    loss,
    agreement: share,
    delta: share,
    unit: oneOf("document", "group"),
    assumptions: list(text(40), 20),
    sampling,
    reference,
    policy,
    numLayers: depth,
    backend: text(40),
    kernelBuild: orNull(text(80)),
    settings: object(
      {
        score: oneOf("best", "entropy", "maxProb", "margin", "probGap"),
        candidates: integer(0, LIMITS.candidates),
        gridShare: share,
      },
      {
        choices: integer(2, 1000),
        ownText: object({ maxNewTokens: tokens, seed }),
        answers: object({
          ...{ epsilon: share, definition: line, expected: hash, maxNewTokens: tokens, seed },
          stop: list(text(1000), 100),
        }),
      },
    ),
    groups: object({
      count: integer(0, LIMITS.documents),
      designEffect: orNull(number(0, LIMITS.documents)),
    }),
    split: object({ seed: whole, grid: integer(1, LIMITS.documents) }),
    documents: list(
      object({ hash, tokens }, { group: hash, answer: hash, copies: list(copy, LIMITS.documents) }),
      LIMITS.documents,
    ),
    sequenceLength: integer(2, LIMITS.tokens),
    costs,
    costUnit: oneOf("multiplyAdds", "milliseconds"),
    test: orNull(test),
    accepted: object({ ...counts, losses: numbers(difference) }, { answers, written: numbers(tokens) }),
    measured: object({
      documents: total,
      positions: total,
      agreement: chance,
      documentAgreement: chance,
      coverage: chance,
      meanDepth: number(0, 100_000),
      exits: list(exitOutcome, LIMITS.exits),
    }),
    furtherUnits: orNull(whole),
    furtherDocuments: orNull(whole),
    digest: hash,
  },
  { taught: integer(0, LIMITS.documents) },
);
