/**
 * An independent check of a certificate: every number that a claim rests on, recomputed from what is stored, by
 * arithmetic that is written anew in the verify-*.ts files. They import no code of the library, only types (a test
 * enforces it), so an error in the code that makes certificates cannot hide in the code that checks them.
 * `verifyCertificate` (verify.ts) starts here; given records, or heads and text, it checks those too. What the check
 * cannot see: whether the documents are the ones they are said to be, and whether somebody tried many seeds and kept
 * the best.
 */
import type { Certificate } from "./certificate.js";
import { checkAccepted } from "./verify-accepted.js";
import { checkTest } from "./verify-test.js";
import { canonical, type Check, close, same, sha256 } from "./verify-values.js";

export interface Verification {
  readonly valid: boolean;
  /** What is wrong; empty if valid. */
  readonly reasons: readonly string[];
}

/** Checks a certificate, as parsed JSON, against itself. Never throws: anything malformed becomes a reason. */
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

async function examine(c: Certificate, check: Check): Promise<void> {
  const { digest, ...content } = c;
  check(
    (c.format as string) === "early-exits/certificate" && (c.version as number) === 1,
    'the format is not "early-exits/certificate", version 1',
  );
  check(
    digest === (await sha256(canonical(content))),
    "the digest does not match: the file was changed after it was made",
  );
  check(
    c.agreement > 0 && c.agreement < 1 && c.delta > 0 && c.delta < 1,
    `agreement ${c.agreement} and delta ${c.delta} are not both in (0, 1)`,
  );
  check(
    c.numLayers >= 1 &&
      typeof c.libraryVersion === "string" &&
      typeof c.backend === "string" &&
      c.assumptions.length > 0,
    "the library version, the backend, the number of blocks or the assumptions are missing",
  );
  checkTerms(c, check);
  checkPolicy(c, check);
  checkTests(c, check);
  await checkSplit(c, check);
  checkCosts(c, check);
  c.tests.forEach((test, index) => {
    checkTest(c, test, index, check);
  });
  checkAccepted(c, check);
}

/** Claim, unit, procedure, bound and promise go together. */
function checkTerms({ claim, unit, procedure, bound, promise }: Certificate, check: Check): void {
  check(["overall", "anyChange", "selective"].includes(claim), `claim "${claim}" does not exist`);
  check(
    ["fixedSequence", "bonferroni", "byExit", "crc"].includes(procedure),
    `procedure "${procedure}" does not exist`,
  );
  check(
    ["document", "token"].includes(unit) && (unit === "document" || claim === "selective"),
    `unit "${unit}" does not go with claim "${claim}"`,
  );
  const lawful = procedure === "crc" ? "expectation" : "probability";
  check(promise === lawful, `the promise is "${promise}"; procedure "${procedure}" can only promise "${lawful}"`);
  check(
    (procedure === "crc") === (bound === "crc") && (unit === "token") === (bound === "binomial"),
    `bound "${bound}" does not go with procedure "${procedure}" and unit "${unit}"`,
  );
  check(bound !== "clopperPearson" || claim === "anyChange", 'bound "clopperPearson" needs claim "anyChange"');
  check(procedure !== "byExit" || claim === "selective", 'procedure "byExit" needs claim "selective"');
  check(procedure !== "crc" || claim !== "selective", 'procedure "crc" does not go with claim "selective"');
}

/** The policy is what its `certified` part says, and is bound to hashes. */
function checkPolicy({ policy, claim, agreement }: Certificate, check: Check): void {
  const { certified, exits, score, fill } = policy;
  const hash = /^[0-9a-f]{64}$/;
  check(
    (policy.format as string) === "early-exits/policy" && (policy.version as number) === 1,
    'the format of the policy is not "early-exits/policy", version 1',
  );
  check(
    hash.test(policy.modelHash ?? "") && hash.test(policy.headsHash ?? ""),
    "the policy is not bound to a model and heads by their SHA-256 hashes",
  );
  check(
    exits.length > 0 && exits.every(({ depth }, i) => Number.isInteger(depth) && depth > (exits[i - 1]?.depth ?? 0)),
    "the depths of the policy's exits are not ascending integers",
  );
  check(
    certified?.claim === claim &&
      certified.agreement === agreement &&
      policy.agreement === agreement &&
      certified.score === score &&
      certified.fill === fill,
    "the policy was certified for other terms (claim, agreement, score or fill) than the certificate's",
  );
  check(
    /^(float32|bfloat16|int8|int4|stored)( with (bfloat16|int8) cache)?$/.test(certified?.dtype ?? ""),
    "the policy does not say how the model's weights are stored",
  );
  check(["entropy", "maxProb", "margin", "probGap", "gate"].includes(score), `score "${score}" does not exist`);
  check(["lazy", "propagate", "project", "shared", "recompute"].includes(fill), `fill "${fill}" does not exist`);
  check(
    exits.every(({ threshold }) => threshold === "always" || threshold === "never" || Number.isFinite(threshold)),
    'a threshold of the policy is neither a number nor "always" nor "never"',
  );
  check(
    same(
      certified?.thresholds,
      exits.map(({ threshold }) => threshold),
    ),
    "the policy's thresholds are not those that were certified",
  );
}

/** The tests are those of the procedure, and use no more than delta in all. */
function checkTests({ procedure, tests, delta, policy }: Certificate, check: Check): void {
  const exits = policy.exits.length;
  const byExit = procedure === "byExit";
  const share = byExit ? delta / exits : delta;
  check(
    tests.every((test) => close(test.delta, share)),
    `each test must use a delta of ${share}, its share of the certificate's`,
  );
  check(
    byExit
      ? tests.length === exits && tests.every(({ exit }, i) => exit === i)
      : tests.length <= 1 && tests.every(({ exit }) => exit === null),
    byExit
      ? 'procedure "byExit" needs one test for each exit, in order'
      : `procedure "${procedure}" needs at most one test, of whole vectors`,
  );
}

/** Documents are in the order of SHA-256("seed:hash"); the first of them are the grid split. */
async function checkSplit(
  { documents, split: { seed, grid }, sequenceLength }: Certificate,
  check: Check,
): Promise<void> {
  check(
    Number.isInteger(grid) && grid >= 1 && grid < documents.length && Number.isInteger(seed) && seed >= 0,
    `a grid split of ${grid} of ${documents.length} documents with seed ${seed} is impossible`,
  );
  check(
    documents.every(({ hash, tokens }) => /^[0-9a-f]{64}$/.test(hash) && Number.isInteger(tokens) && tokens >= 1),
    "a document has no SHA-256 hash or no tokens",
  );
  const keys = await Promise.all(documents.map(({ hash }) => sha256(`${seed}:${hash}`)));
  check(
    keys.every((key, i) => i === 0 || keys[i - 1]! <= key),
    `the documents are not in the order of seed ${seed}: they were split in another way, or with another seed`,
  );
  check(
    Number.isInteger(sequenceLength) && sequenceLength >= 2,
    `sequenceLength is ${sequenceLength}; expected an integer >= 2`,
  );
}

function checkCosts({ costs, costUnit, policy }: Certificate, check: Check): void {
  const exits = policy.exits.length;
  check(
    costs.reach.length === exits &&
      costs.head.length === exits &&
      [...costs.reach, ...costs.head, costs.full].every((cost) => cost > 0),
    "the costs are not positive numbers, two for each exit and one for full depth",
  );
  check(["multiplyAdds", "milliseconds", undefined].includes(costUnit), `the unit of costs, "${costUnit}", is unknown`);
}
