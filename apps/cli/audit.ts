/**
 * Audits of a policy in use. Their state is kept from run to run in a file of the policy's own, below
 * EARLY_EXITS_STATE, or $XDG_STATE_HOME/early-exits, or ~/.local/state/early-exits.
 */
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { type ExitHeads, OptionError, type Policy } from "early-exits";
import { Audit, type AuditReport, type AuditState } from "early-exits/calibrate";
import { fileExists, readJson, writeFileAtomic } from "early-exits/node";
import { given } from "./command.js";
import { percent } from "./format.js";
import { type Io, note } from "./io.js";
import { type ModelSettings, openReference } from "./open-model.js";
import { integer } from "./options.js";

export interface AuditSettings {
  /** The certificate's reference model reads one of so many texts; false: none. @default the command's */
  readonly audit?: number | false | undefined;
}

export const auditOption = {
  flags: "--audit <k>",
  description: "let the full model read one of k texts too; an alarm turns exits off if they change too much",
  parse: integer(1),
} as const;
export const noAuditOption = {
  flags: "--no-audit",
  description: "read no text again, so that a broken promise goes unnoticed",
} as const;

interface AuditedPolicy {
  readonly heads: ExitHeads;
  readonly policy: Policy;
  readonly dir: string;
  /** k of a command that audits unless it is told not to. */
  readonly byDefault?: number | undefined;
}

/** Returns undefined if nothing is audited. An audit that nobody asked for loads no further model. */
export async function openAudit(
  io: Io,
  { heads, policy, dir, byDefault }: AuditedPolicy,
  { audit: asked, budgets, seed }: AuditSettings & ModelSettings & { readonly seed?: number | undefined },
) {
  const every = asked ?? byDefault;
  if (every === undefined || every === false) return undefined;
  const { certified } = policy;
  if (asked === undefined) {
    if (certified?.loss !== "token" && certified?.loss !== "totalVariation") return undefined;
    if (certified.reference.kind === "other") {
      note(
        io,
        `audits are off: the certificate's reference is the ${certified.reference.dtype} model, which is not loaded; ` +
          `--audit ${every} loads it`,
      );
      return undefined;
    }
  }
  const against = certified?.reference.dtype === "float32" ? "float32" : "same";
  const reference = await openReference(io, dir, heads.model, { against, budgets });
  const options = { every, ...given({ seed, against: reference }) };
  if (byDefault === undefined) {
    return { audit: new Audit(heads, policy, options), reference, kept: () => Promise.resolve() };
  }
  const { state, keep, kept, path } = await keptState(io, JSON.stringify([policy, every, seed]));
  const audit = openState(path, () => new Audit(heads, policy, { ...options, ...given({ state }), onState: keep }));
  const which = every === 1 ? "every answer" : `one answer in ${every}`;
  if (audit.state.alarm.raised) note(io, `${alarmLine(audit.report)}; to begin anew, remove ${path}`);
  else note(io, `audits: ${which} is read once more by the full model (--no-audit turns this off)`);
  return { audit, reference, kept };
}

/** Names the file of a state that is none. */
function openState(path: string, open: () => Audit): Audit {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof OptionError && error.code === "audit-state")) throw error;
    throw new OptionError(error.code, `${path}: ${error.message}; or remove the file, to begin anew`, error.details);
  }
}

/** The state in the file of this key. States are written one after another; of those that wait, the newest. */
async function keptState(io: Io, key: string) {
  const { EARLY_EXITS_STATE: folder, XDG_STATE_HOME: states = join(homedir(), ".local", "state") } = process.env;
  const name = createHash("sha256").update(key).digest("hex").slice(0, 16);
  const path = join(folder ?? join(states, "early-exits"), "audits", `${name}.json`);
  const state = (await fileExists(path)) ? ((await readJson(path)) as AuditState) : undefined; // checked by Audit
  let newest: AuditState | undefined;
  let writing: Promise<void> | undefined;
  const write = async (): Promise<void> => {
    try {
      while (newest !== undefined) {
        const text = JSON.stringify(newest);
        newest = undefined;
        await writeFileAtomic(path, text);
      }
    } catch (error) {
      newest = undefined;
      note(io, `audits: the state cannot be kept: ${error instanceof Error ? error.message : String(error)}`);
    }
    writing = undefined;
  };
  return {
    path,
    state,
    keep: (changed: AuditState) => {
      newest = changed;
      writing ??= write();
    },
    kept: async () => writing,
  };
}

export function alarmLine({ units, meanLoss, target }: AuditReport): string {
  return (
    `ALARM: in ${units} audited texts that the policy wrote, ${percent(meanLoss)} of the tokens changed; at most ` +
    `${percent(target)} were promised, for texts like the certificate's; exits are off`
  );
}
