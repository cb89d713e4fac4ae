/**
 * An audit of texts in use: one text in k, chosen by a hash of a seed and the text's number, is read once finished and
 * judged as calibration judges given text, against the reference model, by the certified loss. The losses feed an alarm
 * and a confidence sequence. Decoding knows nothing of the audit: after the alarm, the caller decodes without exits.
 * The state is plain data, from which a later program goes on.
 *
 * The unit is the text. Texts of one user resemble each other, so the first that is chosen stands for all; where no
 * user is named, so does the first after a prompt, or one bad prompt, asked again and again, would ring the alarm.
 * Units count in the order of the calls of `read`, not in that in which texts end: short texts would come first, and
 * may be the worse ones.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, PolicyError, requireInteger } from "../../errors.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import { certifiedTerms, type Policy, type Reference } from "../../exits/plan/policy.js";
import { alarm, type AlarmState, alarmWealth, STAKES, stepAlarm } from "../../risk/alarm.js";
import { type LossInterval, lossInterval } from "../../risk/loss-interval.js";
import { answerDocument, type MarkedDocument } from "../../model/index.js";
import { hashOf } from "../../model/passages.js";
import { createRng } from "../../tensor/index.js";
import type { JudgeOptions } from "../record/judge.js";
import { playRuns } from "../record/outcome.js";
import { runPolicies } from "../record/run-policies.js";
import { judgedBy } from "../record/subject.js";

/** Plain, JSON-able. */
export interface AuditState {
  readonly format: "early-exits/audit";
  readonly version: 2;
  /** k: one text in so many is read. */
  readonly every: number;
  readonly seed: number;
  /** Texts so far, read or not. */
  readonly requests: number;
  /** Tokens that were judged. */
  readonly tokens: number;
  /** Sum of the units' losses; `alarm` has their number. */
  readonly lossSum: number;
  readonly alarm: AlarmState;
  /** Users whose unit was counted; prompts, by a hash, of texts without a user. */
  readonly users: readonly string[];
}

/** `sampling` is the certificate's unless it is given, and `against` has to be the certificate's reference. */
export interface AuditOptions extends JudgeOptions {
  /** k: one text in so many is read. @default 1, that is, all */
  readonly every?: number;
  /** The promised agreement: the alarm tests whether the mean loss exceeds 1 - agreement. @default certified */
  readonly agreement?: number;
  /** The probability of a false alarm, and of an interval that misses the mean. @default 0.05 */
  readonly delta?: number;
  /** Chooses which texts are read. @default 0 */
  readonly seed?: number;
  /** A state to go on from; `every`, `agreement`, `delta` and `seed` are then the state's own. */
  readonly state?: AuditState;
  /** Called with every new state, so that a later program can go on from it. */
  readonly onState?: (state: AuditState) => void;
}

export interface FinishedText {
  readonly promptIds: readonly number[];
  /** The tokens after the prompt. */
  readonly ids: readonly number[];
  /** A user counts once, with one text. @default the prompt: a text counts once for all after the same prompt */
  readonly user?: string | undefined;
}

export interface AuditReport {
  readonly units: number;
  /** The mean loss of the units; NaN before the first. */
  readonly meanLoss: number;
  /** Contains the mean expected loss; all such intervals together do with probability 1 - delta. */
  readonly interval: LossInterval;
  /** The claimed bound on it. */
  readonly target: number;
  /** Evidence against the claim; the alarm is raised at 1/delta. */
  readonly evidence: number;
  readonly raised: boolean;
}

export class Audit {
  readonly #heads: ExitHeads;
  readonly #policy: Policy;
  readonly #judge: JudgeOptions;
  readonly #onState: AuditOptions["onState"];
  #state: AuditState;
  /** Settled once all texts before the next one are judged. */
  #before: Promise<unknown> = Promise.resolve();

  /**
   * Throws an OptionError for an option outside its range or a state of another format, and a PolicyError if the policy
   * has no certificate about all tokens and no agreement is given, or the certificate's reference is missing.
   */
  constructor(heads: ExitHeads, policy: Policy, { sampling, against, state, onState, ...options }: AuditOptions = {}) {
    const certified = certifiedTerms(policy);
    this.#heads = heads;
    this.#policy = policy;
    this.#onState = onState;
    this.#judge = { sampling: sampling ?? certified?.sampling, against };
    this.#state = state === undefined ? createState(policy, options) : checkState(state);
    if (certified?.reference.kind === "other" && against === undefined) {
      throw referenceError(certified.reference, `not given, and the model that runs is ${heads.model.dtype}`);
    }
  }

  get state(): AuditState {
    return this.#state;
  }

  get report(): AuditReport {
    const { alarm, lossSum } = this.#state;
    return {
      units: alarm.units,
      meanLoss: lossSum / alarm.units,
      interval: lossInterval(alarm.units, lossSum, alarm.delta),
      target: alarm.target,
      evidence: alarmWealth(alarm),
      raised: alarm.raised,
    };
  }

  /**
   * Numbers a text and, if it is chosen, judges it after all before it. Returns its loss; undefined if it was not
   * chosen or does not count. A function holds the place of a text still being written, and is called if it is chosen;
   * undefined, or a text without tokens, is left out.
   */
  read(
    text: FinishedText | (() => Promise<FinishedText | undefined>),
    { signal }: { readonly signal?: CancelSignal } = {},
  ): Promise<number | undefined> {
    const { every, seed, requests } = this.#state;
    this.#change({ requests: requests + 1 });
    // Hashes seed and number, not the text: whoever writes a prompt cannot keep it from being read.
    if (createRng(seed).fork(`audit of request ${requests}`).uniform() * every >= 1) return Promise.resolve(undefined);
    const loss = this.#before.then(async () => this.#count(typeof text === "function" ? await text() : text, signal));
    this.#before = loss.catch(() => undefined);
    return loss;
  }

  /** Resolves once every text so far is judged, or has failed to be. */
  async settled(): Promise<void> {
    await this.#before;
  }

  async #count(text: FinishedText | undefined, signal: CancelSignal | undefined): Promise<number | undefined> {
    const { users } = this.#state;
    if (text === undefined || text.ids.length === 0) return undefined;
    const { promptIds, ids, user = `prompt ${hashOf(promptIds.join())}` } = text;
    if (users.includes(user)) return undefined;
    const given = answerDocument(promptIds, ids);
    if (given.ids.length < 2) return undefined; // calibration leaves out a single position, too
    const loss = await this.#lossOf(given, signal);
    this.#change({
      tokens: this.#state.tokens + ids.length,
      lossSum: this.#state.lossSum + loss,
      alarm: stepAlarm(this.#state.alarm, loss),
      users: [...users, user],
    });
    return loss;
  }

  #change(changed: Partial<AuditState>): void {
    this.#state = { ...this.#state, ...changed };
    this.#onState?.(this.#state);
  }

  /** The policy runs on the text as it runs on given text: the tokens, or the distributions, are those of writing. */
  async #lossOf(text: MarkedDocument, signal: CancelSignal | undefined): Promise<number> {
    const { score, fill, exits } = this.#policy;
    const candidate = { score, fill, thresholds: [exits.map(({ threshold }) => threshold)] };
    const { maxPositionEmbeddings } = this.#heads.model.config;
    const options = { ...this.#judge, sequenceLength: maxPositionEmbeddings, signal };
    const runs = await runPolicies(this.#heads, [text], candidate, options);
    requireReference(judgedBy(runs.subject).reference, certifiedTerms(this.#policy)?.reference);
    return 1 - playRuns(runs).agreement;
  }
}

function agreementOf(policy: Policy): number {
  const certified = certifiedTerms(policy);
  if (certified?.loss === "token" || certified?.loss === "totalVariation") return certified.agreement;
  throw new PolicyError(
    "audit-certificate",
    "audit: it tests a certificate's promise about all tokens, and the policy has " +
      `${certified === undefined ? "no certificate" : "one about whole documents or answers"}; calibrate with loss ` +
      '"token", or give the agreement to test',
    { loss: certified?.loss },
  );
}

/** Throws a PolicyError if the model that judges is not the certificate's reference. */
function requireReference({ dtype, checkpoint }: Reference, certified: Reference | undefined): void {
  if (certified === undefined || (dtype === certified.dtype && checkpoint === certified.checkpoint)) return;
  throw referenceError(certified, checkpoint === certified.checkpoint ? `stored as ${dtype}` : "another checkpoint");
}

function referenceError(certified: Reference, found: string): PolicyError {
  return new PolicyError(
    "audit-reference",
    `audit: the policy is certified against checkpoint ${certified.checkpoint.slice(0, 12)}… as ${certified.dtype}, ` +
      `but the reference is ${found}; pass that model: new Audit(heads, policy, { against })`,
    { certified },
  );
}

function createState(
  policy: Policy,
  { every = 1, agreement = agreementOf(policy), delta = 0.05, seed = 0 }: AuditOptions,
): AuditState {
  requireInteger("audit: every", every, 1);
  requireInteger("audit: seed", seed, 0);
  return {
    format: "early-exits/audit",
    version: 2,
    every,
    seed,
    requests: 0,
    tokens: 0,
    lossSum: 0,
    alarm: alarm([], 1 - agreement, delta),
    users: [],
  };
}

function checkState(state: AuditState): AuditState {
  const { format, version } = Object(state) as { readonly format?: unknown; readonly version?: unknown };
  if (format === "early-exits/audit" && version === 2 && isWhole(state)) return state;
  throw new OptionError(
    "audit-state",
    `audit: expected a state of format "early-exits/audit", version 2; found ${JSON.stringify(format)}, version ` +
      `${JSON.stringify(version)}, or members that no audit has; pass the state of an audit, as it was stored`,
    { format, version },
  );
}

/** Members are of the right types and in range: states come from files. */
function isWhole({ every, seed, requests, tokens, lossSum, users, alarm }: Partial<AuditState>): boolean {
  const { target, delta, units, raised, wealth } = (alarm ?? {}) as Partial<AlarmState>;
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
  const isIn = (value: unknown, most: number) => typeof value === "number" && value >= 0 && value <= most;
  return (
    [every, seed, requests, tokens, units].every(isCount) &&
    every !== 0 &&
    isIn(lossSum, units!) &&
    [target, delta].every((share) => isIn(share, 1) && share! * (1 - share!) > 0) &&
    typeof raised === "boolean" &&
    Array.isArray(wealth) &&
    wealth.length === STAKES &&
    wealth.every((one) => isIn(one, Infinity)) &&
    Array.isArray(users) &&
    users.every((user) => typeof user === "string")
  );
}
