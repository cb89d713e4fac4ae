/**
 * An independent check of a certificate: every number that a claim rests on, recomputed from what is stored, by
 * arithmetic written anew in a few lines here. This file imports no code of the library, only types (a test enforces
 * it), so an error in what made a certificate cannot hide in what checks it. `verifyCertificate` (verify.ts) begins
 * here and, with records or heads and text, looks at reality. What it cannot see: whether the documents are what they
 * are said to be, and whether somebody tried many seeds and kept the best.
 */
import type { Certificate, CertificateCandidate, CertificateCounts, CertificateTest } from "./certificate.js";

export interface Verification {
  readonly valid: boolean;
  /** What is wrong; empty where valid. */
  readonly reasons: readonly string[];
}

/** Checks a certificate, as parsed JSON, against itself. Never throws: whatever is malformed is a reason. */
export async function verifyStored(json: unknown): Promise<Verification> {
  const reasons: string[] = [];
  try {
    await examine(json as Certificate, (holds, reason) => {
      if (!holds) reasons.push(reason);
    });
  } catch (error) {
    reasons.push(`the certificate is malformed: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { valid: reasons.length === 0, reasons };
}

type Check = (holds: boolean, reason: string) => void;

async function examine(c: Certificate, check: Check): Promise<void> {
  const { digest, ...content } = c;
  check(
    (c.format as string) === "early-exits/certificate" && (c.version as number) === 1,
    'format and version are not "early-exits/certificate", 1',
  );
  check(digest === (await sha256(canonical(content))), "digest: the file was changed after it was made");
  check(
    c.agreement > 0 && c.agreement < 1 && c.delta > 0 && c.delta < 1,
    `agreement ${c.agreement} and delta ${c.delta} are not in (0, 1)`,
  );
  check(
    c.numLayers >= 1 &&
      typeof c.libraryVersion === "string" &&
      typeof c.backend === "string" &&
      c.assumptions.length > 0,
    "library version, backend, number of blocks or assumptions are missing",
  );
  checkTerms(c, check);
  checkPolicy(c, check);
  await checkSplit(c, check);
  c.tests.forEach((test, index) => {
    checkTest(c, test, index, check);
  });
  checkAccepted(c, check);
}

/** Claim, unit, procedure, bound and promise go together. */
function checkTerms({ claim, unit, procedure, bound, promise, tests, delta, policy }: Certificate, check: Check): void {
  check(["overall", "anyChange", "selective"].includes(claim), `claim ${claim} does not exist`);
  check(["fixedSequence", "bonferroni", "byExit", "crc"].includes(procedure), `procedure ${procedure} does not exist`);
  check(
    ["document", "token"].includes(unit) && (unit === "document" || claim === "selective"),
    `unit ${unit} does not go with claim ${claim}`,
  );
  check(
    promise === (procedure === "crc" ? "expectation" : "probability"),
    `procedure ${procedure} does not promise "${promise}"`,
  );
  check(
    (procedure === "crc") === (bound === "crc") && (unit === "token") === (bound === "binomial"),
    `bound ${bound} does not go with procedure ${procedure} and unit ${unit}`,
  );
  check(bound !== "clopperPearson" || claim === "anyChange", "bound clopperPearson needs losses of 0 or 1");
  check(procedure !== "byExit" || claim === "selective", "procedure byExit is for selective claims");
  check(procedure !== "crc" || claim !== "selective", "procedure crc is not for selective claims");
  const share = procedure === "byExit" ? delta / policy.exits.length : delta;
  check(
    tests.every((test) => close(test.delta, share)),
    `a test uses more error than its share of delta, ${share}`,
  );
  check(
    procedure === "byExit"
      ? tests.length === policy.exits.length && tests.every(({ exit }, i) => exit === i)
      : tests.length <= 1 && tests.every(({ exit }) => exit === null),
    `procedure ${procedure} does not have such tests`,
  );
}

/** The policy is what its `certified` part says, and bound to hashes. */
function checkPolicy({ policy, claim, agreement }: Certificate, check: Check): void {
  const { certified, exits, score, fill } = policy;
  const hash = /^[0-9a-f]{64}$/;
  check(
    (policy.format as string) === "early-exits/policy" && (policy.version as number) === 1,
    "the policy's format is not early-exits/policy, 1",
  );
  check(
    hash.test(policy.modelHash ?? "") && hash.test(policy.headsHash ?? ""),
    "the policy is not bound to hashes of model and heads",
  );
  check(
    exits.length > 0 && exits.every(({ depth }, i) => Number.isInteger(depth) && depth > (exits[i - 1]?.depth ?? 0)),
    "the policy's depths do not ascend",
  );
  check(
    certified?.claim === claim &&
      certified.agreement === agreement &&
      policy.agreement === agreement &&
      certified.score === score &&
      certified.fill === fill,
    "the policy was certified for other terms than the certificate's",
  );
  check(
    ["float32", "bfloat16", "int8"].includes(certified?.dtype ?? ""),
    "the policy does not say how weights are stored",
  );
  check(["entropy", "maxProb", "margin", "probGap", "gate"].includes(score), `score ${score} does not exist`);
  check(["lazy", "propagate", "project", "shared", "recompute"].includes(fill), `fill ${fill} does not exist`);
  check(
    exits.every(({ threshold }) => threshold === "always" || threshold === "never" || Number.isFinite(threshold)),
    "a threshold of the policy is no number",
  );
  check(
    same(
      certified?.thresholds,
      exits.map(({ threshold }) => threshold),
    ),
    "the policy's thresholds are not those that were certified",
  );
}

/** Documents lie in the order of SHA-256("seed:hash"); the first are the grid split. */
async function checkSplit(
  { documents, split: { seed, grid }, sequenceLength, costs, costUnit, policy }: Certificate,
  check: Check,
): Promise<void> {
  check(
    Number.isInteger(grid) && grid >= 1 && grid < documents.length && Number.isInteger(seed) && seed >= 0,
    `a grid split of ${grid} of ${documents.length} documents, seed ${seed}, is impossible`,
  );
  check(
    documents.every(({ hash, tokens }) => /^[0-9a-f]{64}$/.test(hash) && Number.isInteger(tokens) && tokens >= 1),
    "a document has no hash or no tokens",
  );
  const keys = await Promise.all(documents.map(({ hash }) => sha256(`${seed}:${hash}`)));
  check(
    keys.every((key, i) => i === 0 || keys[i - 1]! <= key),
    `documents are not in the order that seed ${seed} gives them: another split, or another seed`,
  );
  check(Number.isInteger(sequenceLength) && sequenceLength >= 2, "sequenceLength is no window");
  check(
    costs.reach.length === policy.exits.length &&
      costs.head.length === policy.exits.length &&
      [...costs.reach, ...costs.head, costs.full].every((cost) => cost > 0),
    "costs do not fit the exits",
  );
  check(["multiplyAdds", "milliseconds", undefined].includes(costUnit), `costs are in no known unit, ${costUnit}`);
}

/** One sequence: counts, risks and p-values of every candidate; who is accepted; who is chosen. */
function checkTest(c: Certificate, test: CertificateTest, index: number, check: Check): void {
  const where = `test ${index}`;
  const available = c.documents.length - c.split.grid;
  const { first, documents, candidates, accepted, chosen, planned, delta } = test;
  const exits = c.policy.exits.length;
  check(
    first >= 0 &&
      documents >= 1 &&
      first + documents <= available &&
      (c.procedure === "byExit" || documents === available),
    `${where}: documents ${first} to ${first + documents} are not the test documents`,
  );
  if (c.procedure === "byExit") {
    check(
      first === Math.floor((index * available) / exits) &&
        first + documents === Math.floor(((index + 1) * available) / exits),
      `${where}: its documents are not the ${index}-th part`,
    );
  }
  check(planned >= candidates.length, `${where}: more candidates than planned`);
  const tokens = c.documents
    .slice(c.split.grid + first, c.split.grid + first + documents)
    .map((document) => document.tokens);
  const worst = new Array<number>(documents).fill(0);
  candidates.forEach((candidate, i) => {
    const name = `${where}, candidate ${i}`;
    checkCounts(candidate, tokens, exits, name, check);
    check(Number.isFinite(candidate.cost) && candidate.cost >= 0, `${name}: its cost is no number`);
    const losses = lossesOf(c, candidate, tokens);
    losses.forEach((loss, d) => {
      worst[d] = Math.max(worst[d]!, loss);
    });
    const { risk, pValue } =
      c.claim === "selective" ? selective(c, test, candidate, tokens) : overall(c, losses, worst);
    check(close(candidate.risk, risk), `${name}: its risk is ${risk}, not ${candidate.risk}`);
    check(
      pValue === null ? candidate.pValue === null : candidate.pValue !== null && close(candidate.pValue, pValue),
      `${name}: its p-value is ${pValue}, not ${candidate.pValue}`,
    );
    if (c.procedure === "byExit") {
      check(
        candidate.thresholds.every((threshold, exit) =>
          exit < test.exit!
            ? threshold === c.policy.exits[exit]!.threshold
            : exit === test.exit || threshold === "never",
        ),
        `${name}: its other exits are not those of the policy`,
      );
    }
  });
  // Whoever passes: a prefix ending before the first failure, or, with Bonferroni, each at its share of delta.
  const n = documents;
  const limit =
    c.procedure === "crc" ? (epsilonOf(c) * (n + 1) - 1) / n : c.procedure === "bonferroni" ? delta / planned : delta;
  const passes = candidates.map(({ pValue, risk }) => (c.procedure === "crc" ? risk <= limit : pValue! <= limit));
  const failure = passes.indexOf(false);
  const lawful =
    c.procedure === "bonferroni"
      ? passes.flatMap((pass, i) => (pass ? [i] : []))
      : passes.slice(0, failure < 0 ? undefined : failure).map((_, i) => i);
  check(
    same(accepted, lawful),
    `${where}: candidates ${accepted.join(", ") || "none"} were accepted; by their p-values it ` +
      `is ${lawful.join(", ") || "none"}`,
  );
  check(
    c.procedure === "bonferroni"
      ? candidates.length === planned
      : candidates.length === Math.min(planned, lawful.length + 1),
    `${where}: the list of candidates tried is not complete`,
  );
  const cheapest =
    lawful.length === 0
      ? "never"
      : lawful.reduce((best, i) => (candidates[i]!.cost < candidates[best]!.cost ? i : best));
  check(chosen === cheapest, `${where}: ${chosen} was chosen; the cheapest accepted candidate is ${cheapest}`);
}

/** The certified vector is the one chosen, its losses and what was measured follow from its counts. */
function checkAccepted(c: Certificate, check: Check): void {
  const { accepted, measured, tests, policy, furtherUnits } = c;
  const tokens = c.documents.slice(c.split.grid).map((document) => document.tokens);
  checkCounts(accepted, tokens, policy.exits.length, "accepted", check);
  check(
    same(
      accepted.thresholds,
      policy.exits.map(({ threshold }) => threshold),
    ),
    "the certified thresholds are not the policy's",
  );
  const chosen = tests.map((test) => (test.chosen === "never" ? undefined : test.candidates[test.chosen]));
  if (c.procedure === "byExit") {
    check(
      tests.every(({ exit }, i) => accepted.thresholds[exit!] === (chosen[i]?.thresholds[exit!] ?? "never")),
      "the certified thresholds are not those chosen exit by exit",
    );
    // Earlier exits have their final thresholds already, and so does the exit of the chosen candidate: they did the
    // same as in the policy.
    for (const { exit, first, documents, candidates, chosen: best } of tests) {
      const upTo = (from: CertificateCounts, end: number, shift: number): number[][] =>
        Array.from({ length: documents }, (_, d) =>
          [from.left, from.wrong].flatMap((counts) =>
            counts.slice((shift + d) * policy.exits.length, (shift + d) * policy.exits.length + end),
          ),
        );
      candidates.forEach((candidate, i) => {
        const end = exit! + (i === best ? 1 : 0);
        check(
          same(upTo(accepted, end, first), upTo(candidate, end, 0)),
          `test of exit ${exit}, candidate ${i}: its counts at the first exits are not those of the policy`,
        );
      });
    }
  } else if (chosen[0] !== undefined) {
    check(
      same(
        [accepted.thresholds, accepted.left, accepted.wrong, accepted.deep],
        [chosen[0].thresholds, chosen[0].left, chosen[0].wrong, chosen[0].deep],
      ),
      "the certified vector is not the chosen candidate",
    );
  } else {
    check(
      accepted.thresholds.every((threshold) => threshold === "never"),
      "nothing was accepted, yet the certified policy exits",
    );
  }
  const losses = lossesOf(c, accepted, tokens);
  check(
    losses.length === accepted.losses.length && losses.every((loss, d) => close(loss, accepted.losses[d]!)),
    "the stored losses are not those of the counts",
  );
  const exiting = accepted.thresholds.some((threshold) => threshold !== "never");
  check(
    exiting ? furtherUnits === 0 : furtherUnits === null || furtherUnits > 0,
    `furtherUnits is ${furtherUnits} for a policy that ${exiting ? "exits" : "never exits"}`,
  );
  checkMeasured(c, tokens, check);
  check(measured.documents === tokens.length, "measured: not the test documents");
}

function checkMeasured(
  { accepted, measured, policy, numLayers }: Certificate,
  tokens: readonly number[],
  check: Check,
): void {
  const exits = policy.exits.length;
  const total = sum(tokens);
  const at = (counts: readonly number[], exit: number): number => sum(counts.filter((_, i) => i % exits === exit));
  const changed = tokens.map((_, d) => changedIn(accepted, exits, d));
  const left = policy.exits.map((_, exit) => at(accepted.left, exit));
  const depth = sum(policy.exits.map((exit, i) => exit.depth * left[i]!)) + (total - sum(left)) * numLayers;
  check(
    measured.positions === total &&
      close(measured.agreement, 1 - sum(changed) / total) &&
      close(measured.documentAgreement, sum(changed.map((count, d) => 1 - count / tokens[d]!)) / tokens.length) &&
      close(measured.coverage, sum(left) / total) &&
      close(measured.meanDepth, depth / total),
    "measured: agreement, coverage or depth do not follow from the counts",
  );
  let reached = total;
  policy.exits.forEach((exit, i) => {
    const found = measured.exits[i];
    const wrong = at(accepted.wrong, i);
    check(
      found?.depth === exit.depth &&
        found.reached === reached &&
        found.left === left[i] &&
        closeOrNull(found.coverage, reached === 0 ? null : left[i] / reached) &&
        closeOrNull(found.agreement, left[i] === 0 ? null : (left[i] - wrong) / left[i]),
      `measured: exit ${i} does not follow from the counts`,
    );
    reached -= left[i]!;
  });
  check(measured.exits.length === exits, "measured: not one entry per exit");
}

function checkCounts(
  { thresholds, left, wrong, deep }: CertificateCounts,
  tokens: readonly number[],
  exits: number,
  name: string,
  check: Check,
): void {
  check(
    thresholds.length === exits &&
      left.length === tokens.length * exits &&
      wrong.length === left.length &&
      (deep.length === 0 || deep.length === tokens.length),
    `${name}: counts do not fit ${tokens.length} documents and ${exits} exits`,
  );
  const whole = [...left, ...wrong, ...deep].every((count) => Number.isInteger(count) && count >= 0);
  check(
    whole && wrong.every((count, i) => count <= left[i]! && (left[i] === 0 || thresholds[i % exits] !== "never")),
    `${name}: counts contradict each other`,
  );
  check(
    tokens.every((count, d) => sum(left.slice(d * exits, (d + 1) * exits)) + (deep[d] ?? 0) <= count),
    `${name}: more tokens left than a document has`,
  );
}

const epsilonOf = (c: Certificate): number => 1 - c.agreement;

function changedIn({ wrong, deep }: CertificateCounts, exits: number, document: number): number {
  return sum(wrong.slice(document * exits, (document + 1) * exits)) + (deep[document] ?? 0);
}

function lossesOf(c: Certificate, counts: CertificateCounts, tokens: readonly number[]): number[] {
  return tokens.map((count, d) => {
    const changed = changedIn(counts, c.policy.exits.length, d);
    return c.claim === "anyChange" ? Math.min(1, changed) : changed / count;
  });
}

function overall(
  c: Certificate,
  losses: readonly number[],
  worst: readonly number[],
): { risk: number; pValue: number | null } {
  if (c.procedure === "crc") return { risk: sum(worst) / worst.length, pValue: null };
  return { risk: sum(losses) / losses.length, pValue: meanP(c, losses, c.delta) };
}

/** The worst exit in use decides; in an exit-by-exit test, that exit. */
function selective(
  c: Certificate,
  test: CertificateTest,
  { thresholds, left, wrong }: CertificateCandidate,
  tokens: readonly number[],
): { risk: number; pValue: number } {
  const epsilon = epsilonOf(c);
  const exits = thresholds.length;
  const used =
    test.exit === null ? thresholds.flatMap((threshold, exit) => (threshold === "never" ? [] : [exit])) : [test.exit];
  const judged = used.map((exit) => {
    const [leaving, mistaken] = [left, wrong].map((counts) => counts.filter((_, i) => i % exits === exit)) as [
      number[],
      number[],
    ];
    const m = sum(leaving);
    const k = sum(mistaken);
    if (m === 0) return { risk: 0, pValue: 1 };
    if (c.unit === "token") return { risk: k / m, pValue: binomialAtMost(k, m, epsilon) };
    const excess = tokens.map((count, d) =>
      Math.min(1, Math.max(0, epsilon + (mistaken[d]! - epsilon * leaving[d]!) / count)),
    );
    return { risk: k / m, pValue: meanP(c, excess, test.delta) };
  });
  return {
    risk: Math.max(0, ...judged.map(({ risk }) => risk)),
    pValue: Math.max(0, ...judged.map(({ pValue }) => pValue)),
  };
}

/** p-value of "the mean of these losses exceeds 1 - agreement". */
function meanP(c: Certificate, losses: readonly number[], delta: number): number {
  const n = losses.length;
  const total = sum(losses);
  const level = epsilonOf(c);
  const mean = total / n;
  switch (c.bound) {
    case "hoeffding":
      return Math.exp(-2 * n * Math.max(0, level - mean) ** 2);
    case "hoeffdingBentkus": {
      const kl =
        mean >= level
          ? 0
          : (mean === 0 ? 0 : mean * Math.log(mean / level)) + (1 - mean) * Math.log((1 - mean) / (1 - level));
      return Math.min(1, Math.exp(-n * kl), Math.E * binomialAtMost(Math.ceil(total), n, level));
    }
    case "clopperPearson":
      return binomialAtMost(total, n, level);
    case "wsr":
      return bettingP(losses, level, delta);
    case "binomial":
    case "crc":
      throw new Error(`bound ${c.bound} has no p-value for means`);
  }
}

/** P(Bin(n, p) <= k), term by term from the largest down; logarithms of factorials by Stirling's series. */
function binomialAtMost(k: number, n: number, p: number): number {
  if (k >= n) return 1;
  const logTerm = (i: number): number =>
    logFactorial(n) - logFactorial(i) - logFactorial(n - i) + i * Math.log(p) + (n - i) * Math.log1p(-p);
  const largest = Math.min(k, Math.floor((n + 1) * p));
  let total = 0;
  for (let i = largest, term = 1; i >= 0 && term > 1e-18; i--, term *= ((i + 1) * (1 - p)) / ((n - i) * p)) {
    total += term;
  }
  for (let i = largest + 1, term = 1; i <= k; i++) {
    term *= ((n - i + 1) * p) / (i * (1 - p));
    total += term;
    if (term < 1e-18) break;
  }
  return Math.min(1, total * Math.exp(logTerm(largest)));
}

function logFactorial(n: number): number {
  if (n < 20) {
    return Math.log(Array.from({ length: n }, (_, i) => i + 1).reduce((product, factor) => product * factor, 1));
  }
  return (
    n * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI * n) + 1 / (12 * n) - 1 / (360 * n ** 3) + 1 / (1260 * n ** 5)
  );
}

/**
 * 1 / the largest wealth of a gambler who bets against "mean > level", stakes fixed before each loss (Waudby-Smith and
 * Ramdas 2024).
 */
function bettingP(losses: readonly number[], level: number, delta: number): number {
  let total = 0.5;
  let squares = 0.25;
  let variance = 0.25;
  let wealth = 0;
  let largest = 0;
  losses.forEach((loss, i) => {
    const stake = Math.min(1, Math.sqrt((-2 * Math.log(delta)) / (losses.length * variance)));
    wealth += Math.log1p(-stake * (loss - level));
    largest = Math.max(largest, wealth);
    total += loss;
    squares += (loss - total / (i + 2)) ** 2;
    variance = squares / (i + 2);
  });
  return Math.exp(-largest);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Equal up to rounding: p-values reach down to 1e-300, hence relative. */
function close(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-12 + 1e-6 * Math.min(Math.abs(a), Math.abs(b));
}

function closeOrNull(a: number | null, b: number | null): boolean {
  return a === null || b === null ? a === b : close(a, b);
}

function same(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return value === undefined ? "" : JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(",")}}`;
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
