/**
 * What the options of `generate` ask of an audit: which audit, for whose texts, and the observer through which exits
 * turn off at its alarm.
 */
import { OptionError, PolicyError } from "../../errors.js";
import type { GeneratedToken } from "../../model/decode/index.js";
import type { DecodeObserver } from "../decode/index.js";
import type { Policy } from "../plan/index.js";
import { Audit } from "./audit.js";
import { type AuditedDecoder, auditingObserver } from "./audited-decoder.js";

/** The options of `generate` that an audit depends on. */
export interface AuditRequest {
  readonly audit?: number | Audit;
  readonly policy?: Policy;
  readonly lossless?: unknown;
  readonly seed?: number;
}

/** The audit that the options ask for. Throws if they give it nothing to judge. */
export function auditOf({ audit, policy, lossless = false, seed }: AuditRequest): Audit | undefined {
  if (audit === undefined) return undefined;
  if (lossless !== false || policy === undefined) {
    const found = policy === undefined ? "there is no policy" : "text is lossless";
    throw new OptionError("audit-policy", `generate: audit judges what a policy changes, but ${found}; leave it out`);
  }
  if (typeof audit !== "number") return audit;
  const { certified } = policy;
  if (certified?.claim !== "overall") {
    throw new PolicyError(
      "audit-certificate",
      `generate: audit: ${audit} tests a certificate's promise about all tokens, and the policy has ` +
        `${certified === undefined ? "no certificate" : `one of claim "${certified.claim}"`}; calibrate with ` +
        'claim "overall", or pass new Audit({ agreement, every }), which says what to test',
      { claim: certified?.claim },
    );
  }
  return new Audit({ every: audit, agreement: certified.agreement, ...(seed !== undefined && { seed }) });
}

/** The user of every prompt. */
export function usersOf(user: string | readonly string[] | undefined, prompts: number): (string | undefined)[] {
  if (user === undefined || typeof user === "string") return new Array<string | undefined>(prompts).fill(user);
  if (user.length === prompts) return [...user];
  throw new OptionError(
    "lengths-differ",
    `generate: ${user.length} users for ${prompts} prompts; give one name for all, or one for each`,
    { users: user.length, prompts },
  );
}

export interface Listening {
  readonly observer: DecodeObserver | undefined;
  /** Whether the caller's observer has set thresholds. */
  readonly observed: boolean;
}

/** The caller's observer, and what is noted about it; with an audit, exits turn off at its alarm. */
export function listen(
  observer: DecodeObserver | undefined,
  policy: Policy | undefined,
  audit: Audit | undefined,
): Listening {
  let observed = false;
  const noted: DecodeObserver | undefined = observer && {
    observe: (event) => {
      observer.observe(event);
    },
    thresholds() {
      const given = observer.thresholds?.();
      observed ||= given !== undefined;
      return given;
    },
  };
  return {
    observer: audit === undefined || policy === undefined ? noted : auditingObserver(audit, policy, noted),
    get observed() {
      return observed;
    },
  };
}

/** The tokens of a batch; after the last of them, the audit judges what is left. */
export async function* settled(
  batch: AsyncIterable<GeneratedToken>,
  { finish, cancel }: AuditedDecoder,
): AsyncGenerator<GeneratedToken, void, undefined> {
  try {
    yield* batch;
    await finish();
  } finally {
    cancel();
  }
}
