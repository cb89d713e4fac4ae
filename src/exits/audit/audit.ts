/**
 * An audit of texts in use: of k texts one, chosen by a hash of a seed and the number of the request, is also judged by
 * the reference model. The losses feed an alarm (alarm.ts) and a confidence sequence (loss-interval.ts). The state is
 * plain data: store it, and a later program goes on from it.
 *
 * The unit is the text; of one user, it is the mean of the texts that are audited in the user's first audited call,
 * since a user's texts resemble each other, and later ones are not counted. Units are counted in the order of their
 * requests, not in that in which they end: short texts would come first, and they may be the worse ones.
 */
import { OptionError, requireInteger } from "../../errors.js";
import type { Model } from "../../model/index.js";
import { createRng } from "../../tensor/index.js";
import { type AlarmState, alarmWealth, createAlarm, stepAlarm } from "./alarm.js";
import { type LossInterval, lossInterval } from "./loss-interval.js";

/** What an audit has seen; plain, JSON-able. */
export interface AuditState {
  readonly format: "early-exits/audit";
  readonly version: 1;
  /** k: one of so many texts is audited. */
  readonly every: number;
  readonly seed: number;
  /** Texts so far, audited or not: the number of the next request. */
  readonly requests: number;
  /** Texts and tokens that were audited. */
  readonly texts: number;
  readonly tokens: number;
  /** The sum of the units' losses, each in [0, 1]; `alarm` has their number. */
  readonly lossSum: number;
  readonly alarm: AlarmState;
  /** Users whose unit was counted. */
  readonly users: readonly string[];
}

/** What happens once the alarm is raised: no token leaves early any more, or all goes on. */
export type AlarmAction = "exitsOff" | "continue";

export interface AuditOptions {
  /** k: one of so many texts is audited. @default 1, that is, all */
  readonly every?: number;
  /** The agreement that is promised: the alarm tests whether the mean loss exceeds 1 - agreement. @default 0.95 */
  readonly agreement?: number;
  /** The probability of ever raising a false alarm, and of an interval that misses the mean. @default 0.05 */
  readonly delta?: number;
  /** Chooses which texts are audited. @default 0 */
  readonly seed?: number;
  /** The model whose tokens are right. @default the model that runs, if that is the certificate's reference */
  readonly reference?: Model;
  /** Called once, when the alarm is raised, unless it is the answer itself. @default "exitsOff" */
  readonly onAlarm?: AlarmAction | ((report: AuditReport) => AlarmAction);
  /** A state to go on from; `every`, `agreement`, `delta` and `seed` are then the state's own. */
  readonly state?: AuditState;
}

/** What an audit says so far. */
export interface AuditReport {
  readonly units: number;
  /** The mean loss of the units; NaN before the first. */
  readonly meanLoss: number;
  /** Contains the mean expected loss; all such intervals together do with probability 1 - delta. */
  readonly interval: LossInterval;
  /** The claimed bound on it. */
  readonly target: number;
  /** How strongly the losses speak against the claim; the alarm is raised at 1/delta. */
  readonly evidence: number;
  readonly raised: boolean;
}

/** One unit of an audit while its texts are written. */
interface Unit {
  readonly user: string | undefined;
  /** Texts that have not ended. */
  open: number;
  /** [texts] mean losses; NaN for a text without tokens. */
  readonly losses: number[];
  tokens: number;
}

/** One text that is audited. */
export interface AuditTicket {
  /** Counts the text. */
  finish(loss: number, tokens: number): void;
  /** Leaves the text out: it was cancelled, or has no tokens. */
  drop(): void;
}

export class Audit {
  readonly reference: Model | undefined;
  readonly #onAlarm: NonNullable<AuditOptions["onAlarm"]>;
  /** Units that are not counted yet, in the order of their requests. */
  readonly #waiting: Unit[] = [];
  #state: AuditState;
  #action: AlarmAction | undefined;

  /** Throws an OptionError for an option outside its range, or a state of another format. */
  constructor({ reference, onAlarm = "exitsOff", state, ...options }: AuditOptions = {}) {
    this.reference = reference;
    this.#onAlarm = onAlarm;
    this.#state = state === undefined ? createState(options) : checkState(state);
    this.#act();
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

  /** Whether the alarm was raised and exits are to stay off. */
  get exitsOff(): boolean {
    return this.#action === "exitsOff";
  }

  /** Numbers new texts, each with its user if known, and returns a ticket for each that is audited. */
  begin(users: readonly (string | undefined)[]): (AuditTicket | undefined)[] {
    const { every, seed, requests, users: counted } = this.#state;
    this.#state = { ...this.#state, requests: requests + users.length };
    const units = new Map<string, Unit>();
    return users.map((user, i) => {
      if (!isChosen(seed, requests + i, every)) return undefined;
      const known = user !== undefined && counted.includes(user);
      const unit = (user === undefined ? undefined : units.get(user)) ?? { user, open: 0, losses: [], tokens: 0 };
      if (unit.open === 0 && !known) this.#waiting.push(unit);
      if (user !== undefined) units.set(user, unit);
      unit.open++;
      return this.#ticket(unit);
    });
  }

  #ticket(unit: Unit): AuditTicket {
    const end = (): void => {
      unit.open--;
      this.#count();
    };
    return {
      finish: (loss, tokens) => {
        unit.losses.push(loss);
        unit.tokens += tokens;
        end();
      },
      drop: end,
    };
  }

  /** Counts the units that have ended, up to the first that has not. */
  #count(): void {
    while (this.#waiting[0]?.open === 0) {
      const { losses, user, tokens } = this.#waiting.shift()!;
      if (losses.length === 0) continue;
      const { users } = this.#state;
      if (user !== undefined && users.includes(user)) continue;
      const loss = losses.reduce((sum, one) => sum + one, 0) / losses.length;
      this.#state = {
        ...this.#state,
        texts: this.#state.texts + losses.length,
        tokens: this.#state.tokens + tokens,
        lossSum: this.#state.lossSum + loss,
        alarm: stepAlarm(this.#state.alarm, loss),
        users: user === undefined ? users : [...users, user],
      };
      this.#act();
    }
  }

  /** Decides what the alarm does, once. */
  #act(): void {
    if (!this.#state.alarm.raised || this.#action !== undefined) return;
    this.#action = typeof this.#onAlarm === "string" ? this.#onAlarm : this.#onAlarm(this.report);
  }
}

function createState({ every = 1, agreement = 0.95, delta = 0.05, seed = 0 }: AuditOptions): AuditState {
  requireInteger("audit: every", every, 1);
  requireInteger("audit: seed", seed, 0);
  return {
    format: "early-exits/audit",
    version: 1,
    every,
    seed,
    requests: 0,
    texts: 0,
    tokens: 0,
    lossSum: 0,
    alarm: createAlarm({ target: 1 - agreement, delta }),
    users: [],
  };
}

function checkState(state: AuditState): AuditState {
  const { format, version } = state as { readonly format?: unknown; readonly version?: unknown };
  if (format === "early-exits/audit" && version === 1) return state;
  throw new OptionError(
    "audit-state",
    `audit: expected a state of format "early-exits/audit", version 1; found ${JSON.stringify(format)}, version ` +
      `${JSON.stringify(version)}; pass the state of an audit, as it was stored`,
    { format, version },
  );
}

/** A hash of seed and number decides, not the text: whoever writes a prompt cannot see to it that it is not audited. */
function isChosen(seed: number, request: number, every: number): boolean {
  return createRng(seed).fork(`audit of request ${request}`).uniform() * every < 1;
}
