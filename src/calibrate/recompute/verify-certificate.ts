/**
 * An independent check of a certificate: every number that a claim rests on, recomputed from what is stored. The
 * verify-*.ts files import no code of the library, only types and limits (a test enforces it), so that no error can
 * hide in both maker and checker. Types and ranges come first (check-shape.ts), so the arithmetic is bounded in time
 * and memory. A file alone cannot show whether the documents are the ones they are said to be, candidates come from the
 * grid split, or somebody tried many seeds and kept the best; the best verdict here is "arithmetic consistent".
 */
import type { Certificate } from "../certificate/certificate.js";
import { shapeReasons } from "./check-shape.js";
import { LIMITS } from "./limits.js";
import { checkAccepted, checkFurther, checkTest, exactFills, rowsOf } from "./verify-test.js";
import { canonical, type Check, close, same, sha256 } from "./verify-values.js";

/** Contradictions in a certificate, as far as the file alone shows. Never throws. */
export async function verifyStored(json: unknown): Promise<string[]> {
  const reasons: string[] = [];
  try {
    reasons.push(...shapeReasons(json));
    if (reasons.length > 0) return reasons;
    await examine(json as Certificate, (holds, reason) => {
      if (!holds) reasons.push(reason);
    });
  } catch (error) {
    reasons.push(`the certificate is malformed: ${error instanceof Error ? error.message : "it cannot be read"}`);
  }
  return reasons;
}

/** Later checks read what earlier ones establish, so each stage may end the examination. */
async function examine(c: Certificate, check: Check): Promise<void> {
  const failures: string[] = [];
  const sound = () => failures.length === 0;
  const stage: Check = (holds, reason) => {
    if (!holds) failures.push(reason);
    check(holds, reason);
  };
  const { digest, ...content } = c;
  check(
    digest === (await sha256(canonical(content))),
    "the digest does not match: the file was changed after it was made",
  );
  checkTerms(c, stage);
  checkPolicy(c, stage);
  checkDocuments(c, stage);
  checkCosts(c, stage);
  checkPlan(c, stage);
  if (!sound()) return;
  await checkOrder(c, check);
  const rows = await rowsOf(c);
  if (c.test !== null) checkTest(c, c.test, rows, stage);
  if (!sound()) return;
  checkAccepted(c, rows, stage);
  if (sound()) checkFurther(c, rows, check);
}

/** Loss, sampling, unit and settings must go together. */
function checkTerms(c: Certificate, check: Check): void {
  const { loss, unit, settings, sampling, groups } = c;
  check((settings.choices ?? 1) * c.delta < 1, "so many choices leave no probability that all of them hold");
  check(
    settings.score === "best" || settings.score === c.policy.score,
    `the policy's score is "${c.policy.score}", but "${settings.score}" was asked for`,
  );
  const { ownText, answers } = settings;
  const { temperature, repetitionPenalty } = sampling;
  const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty };
  check(
    answers !== undefined || (loss === "totalVariation" ? temperature > 0 : same(sampling, greedy)),
    `loss "${loss}" does not go with temperature ${temperature}: tokens of greedy text change or not, others in part`,
  );
  const all = c.documents.flatMap(({ copies = [], ...leader }) => [leader, ...copies]);
  check(
    all.every(({ tokens }) => ownText === undefined || tokens === ownText.maxNewTokens),
    "own text: every prompt is followed by the same number of tokens",
  );
  const tokenLosses = ["token", "totalVariation", "anyChange"];
  check(
    tokenLosses.includes(loss) === (answers === undefined) &&
      !(ownText !== undefined && answers !== undefined) &&
      all.every(({ answer }) => (answer === undefined) === (answers === undefined)),
    `loss "${loss}" does not go with what was compared, tokens or answers`,
  );
  if (answers !== undefined) {
    const { epsilon, maxNewTokens, definition } = answers;
    check(close(1 - c.agreement, epsilon), `epsilon is ${epsilon}, but the agreement ${c.agreement}; they sum to 1`);
    check(
      all.every(({ tokens }) => tokens <= maxNewTokens),
      `an answer of the full model has more than ${maxNewTokens} tokens`,
    );
    check(loss !== "own" || /^[0-9a-f]{64}$/.test(definition), "a loss of one's own is named by a SHA-256");
  }
  check(unit !== "group" || groups.count > 0, 'unit "group" needs documents that name groups');
  checkAssumptions(c, check);
}

function checkAssumptions(c: Certificate, check: Check): void {
  // Early certificates, without the number of documents that taught the heads, do not say that nobody knows it.
  const unsaid = c.taught !== undefined || !c.assumptions.includes("training-unknown");
  const expected = [
    `${c.unit}s-independent`,
    ...(c.documents.some(({ copies }) => copies !== undefined) ? ["documents-distinct"] : []),
    ...(unsaid ? [] : ["training-unknown"]),
    ...(c.settings.answers === undefined
      ? [
          c.settings.ownText === undefined ? "text-as-given" : "own-text",
          exactFills.includes(c.policy.fill) ? "fill-exact" : "fill-as-deployed",
        ]
      : ["answers"]),
    "device-bits",
  ];
  check(same(c.assumptions, expected), `the assumptions must be ${expected.join(", ")}`);
}

/** The policy agrees with its `certified` part and the certificate's terms. */
function checkPolicy(c: Certificate, check: Check): void {
  const { policy, loss, agreement, sampling, reference, numLayers, sequenceLength } = c;
  const { certified, exits, score, fill } = policy;
  check(
    exits.length > 0 && exits.every(({ depth }, i) => depth > (exits[i - 1]?.depth ?? 0) && depth <= numLayers),
    `the depths of the policy's exits are not ascending, up to the ${numLayers} blocks of the model`,
  );
  check(
    certified?.loss === loss &&
      certified.agreement === agreement &&
      policy.agreement === agreement &&
      certified.score === score &&
      certified.fill === fill &&
      (certified.length ?? sequenceLength) === sequenceLength &&
      same(certified.sampling, sampling) &&
      same(certified.reference, reference),
    "the policy was certified for other terms (loss, agreement, score, fill, length, sampling or reference)",
  );
  const accepted = c.test !== null && c.test.chosen !== "never";
  check(
    (certified?.impossible === true) === (reference.kind === "other" && !accepted),
    "a policy of which nothing is certified must say so: against another model even never to exit may fail",
  );
  check(
    reference.kind === "other" || (reference.dtype === certified?.dtype && reference.checkpoint === policy.modelHash),
    "the reference is said to be the model itself, but has another dtype or checkpoint",
  );
  check(
    same(
      certified?.thresholds,
      exits.map(({ threshold }) => threshold),
    ),
    "the policy's thresholds are not those that were certified",
  );
}

/** No more candidates were planned than asked for, and none tested that was not planned. */
function checkPlan({ test, settings, reference }: Certificate, check: Check): void {
  if (test === null) return;
  const { planned, candidates } = test;
  const most = settings.candidates + (reference.kind === "other" ? 1 : 0); // "never exit" is tested too
  check(
    candidates.length >= 1 && planned >= candidates.length && (settings.ownText !== undefined || planned <= most),
    `test: ${candidates.length} candidates were tested and ${planned} planned, but ${most} asked for`,
  );
}

/** Documents are distinct; groups are all named or none is; the split cuts no group. */
function checkDocuments({ documents, split: { grid }, groups, unit, settings }: Certificate, check: Check): void {
  check(grid < documents.length, `a grid split of ${grid} of ${documents.length} documents leaves none for the test`);
  const all = documents.flatMap(({ copies = [], ...leader }) => [leader, ...copies]);
  check(all.length <= LIMITS.documents, `${all.length} documents, copies included; at most ${LIMITS.documents}`);
  const leaders = new Map(documents.map(({ hash }) => [hash, hash]));
  check(leaders.size === documents.length, "a document is listed twice");
  const lawful = documents.every(({ hash: leader, copies = [] }) =>
    copies.every(({ hash, group = "" }, i) => {
      const other = leaders.get(hash) ?? leader;
      leaders.set(hash, leader);
      const before = copies[i - 1] ?? { hash: leader, group: "" };
      return other === leader && `${before.hash} ${before.group ?? ""}` <= `${hash} ${group}`;
    }),
  );
  check(lawful, "copies are not listed once each, behind the smallest of their hashes and in ascending order");
  const named = documents.filter(({ group }) => group !== undefined);
  const count = new Set(named.map(({ group }) => group)).size;
  const grouped = all.filter(({ group }) => group !== undefined).length;
  check(grouped === 0 || grouped === all.length, "some documents have a group and others have none");
  check(count === groups.count, `groups: ${groups.count} are stored; the documents name ${count}`);
  const units = unit === "group" ? count : documents.length;
  const grids = unit === "group" ? new Set(documents.slice(0, grid).map(({ group }) => group)).size : grid;
  const share = Math.min(units - 1, Math.max(1, Math.round(settings.gridShare * units)));
  check(grids === share, `split: the grid split has ${grids} of ${units} ${unit}s; its share is ${share}`);
  if (unit !== "group" || grid >= documents.length) return;
  const runs = documents.filter(({ group }, d) => d === 0 || group !== documents[d - 1]!.group).length;
  check(runs === count, "the documents of a group do not follow each other");
  check(documents[grid - 1]!.group !== documents[grid]!.group, "a group is both in the grid split and in the test");
}

/** Documents are in the order of SHA-256("seed:hash"); if groups are the units, first of SHA-256("seed:group"). */
async function checkOrder({ documents, split: { seed }, unit }: Certificate, check: Check): Promise<void> {
  const keyOf = (name: string) => sha256(`${seed}:${name}`);
  const keys = await Promise.all(
    documents.map(async ({ hash, group = "" }) => (unit === "group" ? await keyOf(group) : "") + (await keyOf(hash))),
  );
  check(
    keys.every((key, d) => d === 0 || keys[d - 1]! <= key),
    `the documents are not in the order of seed ${seed}: they were split in another way, or with another seed`,
  );
}

function checkCosts({ costs: { reach, head }, policy: { exits } }: Certificate, check: Check): void {
  check(reach.length === exits.length && head.length === exits.length, "the costs are not two for each exit");
}
