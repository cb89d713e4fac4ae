/**
 * Changes of a certificate, each of which contradicts its counts, its types or its ranges:
 *   type        a value of another type, such as a number as text
 *   range       a number that is absurd: 1e300, -1, NaN, 3e8 documents
 *   change      one number or word changed that follows from the counts
 *   double      two such changes
 *   order       documents, losses, exits or counts in another order
 *   member      a member added, renamed or left out
 *   policy      another policy: thresholds that were not tested, here, there or everywhere
 *   terms       another claim: more agreement, less delta, other units, other assumptions, copies that vanish
 * Every lie is sealed with the digest of its content. What no count contradicts, such as a name or a cost, is not among
 * the changes: only the model and the text reveal it (reality-lies.ts).
 */
import type { Certificate } from "early-exits";
import type { Rng } from "early-exits/tensor";
import { sealCertificate } from "../../src/calibrate/certificate/certificate.js";

export const storedLies = ["type", "range", "change", "double", "order", "member", "policy", "terms"] as const;
type StoredLie = (typeof storedLies)[number];

type Json = Record<string | number, unknown>;
type Path = readonly (string | number)[];

/** A lie of this kind about a certificate, sealed; undefined if the draw happened to change nothing. */
export async function storedLie(truth: Certificate, kind: StoredLie, rng: Rng): Promise<unknown> {
  const lie = JSON.parse(JSON.stringify(truth)) as Json;
  makers[kind](lie, rng);
  if (JSON.stringify(lie) === JSON.stringify(truth) || saysTheSame(lie, truth)) return undefined;
  delete lie["digest"];
  return seal(lie);
}

/**
 * True if what counts is the same: of a candidate that is not the policy it does not matter at which exit a document's
 * tokens changed, so two changes may cancel; and for any change in a document not how many did.
 */
function saysTheSame(lie: Json, truth: Certificate): boolean {
  try {
    return summed(lie as unknown as Certificate, truth.loss) === summed(truth, truth.loss);
  } catch {
    return false; // not even the shape is that of a certificate
  }
}

/** The certificate as text, with the changed tokens of every tested document in one sum. */
function summed(certificate: Certificate, loss: Certificate["loss"]): string {
  const exits = certificate.policy.exits.length;
  const { test } = certificate;
  const candidates = test!.candidates.map((candidate) => ({
    ...candidate,
    wrong: Array.from({ length: candidate.wrong.length / exits }, (_, d) => {
      const changed = sumOf([candidate.deep[d] ?? 0, ...candidate.wrong.slice(d * exits, (d + 1) * exits)]);
      return loss === "anyChange" ? changed > 0 : changed;
    }),
    deep: [],
  }));
  return JSON.stringify({ ...certificate, test: { ...test, candidates } });
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

async function seal(lie: Json): Promise<unknown> {
  try {
    return await sealCertificate(lie as unknown as Omit<Certificate, "digest">);
  } catch {
    return lie; // what cannot be sealed is sent as it is
  }
}

/**
 * Only the digest, the model or the text can confirm these; a small change contradicts no count. Nor does one of delta
 * where the p-values are exact, without stakes that depend on it.
 */
function isVerifiable({ loss, unit }: Json, path: Path): boolean {
  const unverifiable = [
    /^(libraryVersion|numLayers|backend|kernelBuild|sequenceLength|costs|digest|settings|taught)/,
    /^documents\.\d+\.(hash|tokens|copies)|planned$|cost$|^policy\.headsHash$/,
    /^test\.candidates\.\d+\.(left\.|thresholds)/,
    ...(loss === "anyChange" && unit === "document" ? [/^delta$/] : []),
  ];
  return !unverifiable.some((pattern) => pattern.test(path.join(".")));
}

function leaves(value: unknown, here: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [here];
  return Object.entries(value).flatMap(([key, member]) =>
    leaves(member, [...here, Array.isArray(value) ? Number(key) : key]),
  );
}

function at(json: Json, path: Path): { readonly parent: Json; readonly key: string | number; readonly value: unknown } {
  let parent = json;
  for (const key of path.slice(0, -1)) parent = parent[key] as Json;
  const key = path.at(-1)!;
  return { parent, key, value: parent[key] };
}

function one<Value>(list: readonly Value[], rng: Rng): Value {
  return list[rng.integer(list.length)]!;
}

const makers: Readonly<Record<StoredLie, (lie: Json, rng: Rng) => void>> = {
  type(lie, rng) {
    // A threshold may be a word or a number, and the digest is made anew.
    const typed = leaves(lie).filter((path) => !/threshold|^digest$/i.test(path.join(".")));
    const { parent, key, value } = at(lie, one(typed, rng));
    const others: unknown[] = [[], {}, [value], { value }, true, undefined];
    if (typeof value === "number") others.push(String(value), `${value} `, `0x${value.toString(16)}`);
    if (typeof value === "string") others.push(7, new String(value));
    parent[key] = one(others, rng);
  },
  range(lie, rng) {
    const numbers = leaves(lie).filter(
      (path) => typeof at(lie, path).value === "number" && !/cost|thresholds/i.test(path.join(".")),
    );
    const { parent, key, value } = at(lie, one(numbers, rng));
    const absurd = [1e300, -1e290, NaN, Infinity, -Infinity, -1, 2 ** 60];
    if (Number.isInteger(value)) absurd.push(0.5 + (value as number));
    parent[key] = one(absurd, rng);
  },
  change: changeOne,
  double(lie, rng) {
    changeOne(lie, rng);
    changeOne(lie, rng);
  },
  order(lie, rng) {
    const lists = [
      ["documents"],
      ["accepted", "losses"],
      ["measured", "exits"],
      ["policy", "exits"],
      ["accepted", "wrong"],
    ];
    const { parent, key, value } = at(lie, one(lists, rng));
    const list = [...(value as unknown[])];
    const [a, b] = [rng.integer(list.length), rng.integer(list.length)];
    [list[a], list[b]] = [list[b], list[a]];
    parent[key] = rng.uniform() < 0.2 ? [...(value as unknown[])].reverse() : list;
  },
  member(lie, rng) {
    const objects = leaves(lie)
      .map((path) => path.slice(0, -1))
      .filter((path) => !Array.isArray(path.length === 0 ? lie : at(lie, path).value));
    const path = one(objects, rng);
    const object = path.length === 0 ? lie : (at(lie, path).value as Json);
    const names = Object.keys(object).filter((name) => !["digest", "copies"].includes(name));
    const name = one(names, rng);
    if (rng.uniform() < 0.5) object[`${name}_`] = object[name];
    if (rng.uniform() < 0.7 || !(`${name}_` in object)) Reflect.deleteProperty(object, name);
  },
  policy(lie, rng) {
    const policy = lie["policy"] as Json;
    const accepted = lie["accepted"] as Json;
    const lax = (policy["exits"] as Json[]).map(() => one(["always", 0.001, -5, 7.5], rng));
    const exits = (policy["exits"] as Json[]).map(({ depth }, i) => ({ depth, threshold: lax[i] }));
    const places = 1 + rng.integer(7);
    if ((places & 1) !== 0) policy["exits"] = exits;
    if ((places & 2) !== 0) (policy["certified"] as Json)["thresholds"] = lax;
    if ((places & 4) !== 0) accepted["thresholds"] = lax;
  },
  terms(lie, rng) {
    one(terms, rng)(lie, rng);
  },
};

/** Adds to a number, or replaces a word by another legal or illegal one. */
function changeOne(lie: Json, rng: Rng): void {
  const verifiable = leaves(lie).filter((path) => isVerifiable(lie, path));
  const { parent, key, value } = at(lie, one(verifiable, rng));
  if (typeof value === "number") {
    const size = rng.uniform();
    parent[key] = Number.isInteger(value)
      ? value + one([-2, -1, 1, 2, 1 + rng.integer(50)], rng)
      : value * (1 + one([-1, 1], rng) * (1e-3 + size)) + 1e-4;
  } else if (typeof value === "string") {
    parent[key] = one([`${value.slice(0, -1)}${value.endsWith("0") ? "1" : "0"}`, "", `${value}x`], rng);
  } else if (value === null) parent[key] = one([0, 1, rng.uniform()], rng);
}

/** Other claims, with all of their copies changed alike. */
const terms: readonly ((lie: Json, rng: Rng) => void)[] = [
  (lie, rng) => {
    const agreement = (lie["agreement"] as number) + (0.001 + 0.05 * rng.uniform());
    const policy = lie["policy"] as Json;
    lie["agreement"] = agreement;
    policy["agreement"] = agreement;
    (policy["certified"] as Json)["agreement"] = agreement;
  },
  (lie, rng) => {
    // A smaller delta may be supported by the counts; one below the p-value of an accepted candidate is not.
    const test = lie["test"] as Json;
    const accepted = (test["candidates"] as Json[]).slice(0, test["accepted"] as number);
    const pValues = accepted.map((candidate) => candidate["pValue"] as number);
    lie["delta"] = Math.min(lie["delta"] as number, ...pValues) * (0.1 + 0.8 * rng.uniform());
  },
  (lie, rng) => {
    const losses = ["token", "totalVariation", "anyChange"].filter((loss) => loss !== lie["loss"]);
    lie["loss"] = one(losses, rng);
    ((lie["policy"] as Json)["certified"] as Json)["loss"] = lie["loss"];
  },
  (lie) => {
    lie["unit"] = "group";
    lie["groups"] = { count: 12, designEffect: null };
    lie["assumptions"] = (lie["assumptions"] as string[]).map((code) =>
      code === "documents-independent" ? "groups-independent" : code,
    );
  },
  (lie, rng) => {
    const assumptions = lie["assumptions"] as string[];
    const known = assumptions.filter((code) => code !== "training-unknown"); // early certificates leave it unsaid
    const dropped = one(known, rng);
    lie["assumptions"] = assumptions.filter((code) => code !== dropped);
  },
  (lie) => {
    const fill = "project";
    const policy = lie["policy"] as Json;
    policy["fill"] = fill;
    (policy["certified"] as Json)["fill"] = fill;
  },
  (lie, rng) => {
    const sampling = { ...(lie["sampling"] as Json), temperature: 0.1 + rng.uniform() };
    lie["sampling"] = sampling;
    ((lie["policy"] as Json)["certified"] as Json)["sampling"] = sampling;
  },
  (lie, rng) => {
    const documents = lie["documents"] as Json[];
    const repeated = documents[rng.integer(documents.length)]!;
    repeated["copies"] = 2 + rng.integer(40);
  },
  (lie, rng) => {
    (lie["split"] as Json)["seed"] = 1000 + rng.integer(1e6);
  },
  (lie) => {
    lie["test"] = null;
  },
];
