/** Certificates that were changed and not sealed anew, as whoever has a text editor does it. */
import type { Certificate } from "early-exits";

interface Draft {
  agreement: number;
  delta: number;
  policy: {
    agreement: number;
    modelHash?: string;
    headsHash?: string;
    exits: { threshold: unknown }[];
    certified: Record<string, unknown>;
  };
}

const always = (draft: Draft) => draft.policy.exits.forEach((exit) => (exit.threshold = "always"));
const other = "0".repeat(64);

export const forgeries: readonly (readonly [string, (draft: Draft) => void])[] = [
  ["one spelling of the thresholds is always", always],
  [
    "both spellings of the thresholds are always",
    (draft) => {
      always(draft);
      draft.policy.certified["thresholds"] = draft.policy.exits.map(() => "always");
    },
  ],
  [
    "agreement of 500 %",
    (draft) => (draft.agreement = draft.policy.agreement = (draft.policy.certified["agreement"] as number) = 5),
  ],
  ["agreement of NaN %", (draft) => (draft.policy.certified["agreement"] = NaN)],
  ["another agreement", (draft) => (draft.policy.certified["agreement"] = 0.999999)],
  ["another claim", (draft) => (draft.policy.certified["loss"] = "everything")],
  ["another delta", (draft) => (draft.delta = 1e-9)],
  ["sampling null", (draft) => (draft.policy.certified["sampling"] = null)],
  ["reference null", (draft) => (draft.policy.certified["reference"] = null)],
  ["no model", (draft) => delete draft.policy.modelHash],
  ["no heads", (draft) => delete draft.policy.headsHash],
  ["another model", (draft) => (draft.policy.modelHash = other)],
  ["other heads", (draft) => (draft.policy.headsHash = other)],
];

export function forge(certificate: Certificate, change: (draft: Draft) => void) {
  const draft = structuredClone(certificate);
  change(draft as unknown as Draft);
  return draft;
}
