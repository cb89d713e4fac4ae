/** Policies with a certificate that is made up. */
import { createPolicy, type ExitHeads } from "early-exits";
import type { SamplingOptions } from "early-exits/model";
import { canonicalSampling } from "../../src/model/decode/sampling.js";
import { type CertifiedFor, registerCertified } from "../../src/exits/plan/policy.js";

export async function certifiedPolicy(
  heads: ExitHeads,
  sampling: SamplingOptions,
  { threshold = 0.04, ...more }: Partial<CertifiedFor> & { readonly threshold?: number } = {},
) {
  const policy = createPolicy(heads, threshold, { score: "maxProb" });
  const checkpoint = await heads.model.hash();
  return registerCertified({
    ...policy,
    certified: {
      sampling: canonicalSampling(sampling),
      reference: { kind: "same", dtype: "float32", checkpoint },
      loss: "token",
      agreement: 0.95,
      score: policy.score,
      thresholds: policy.exits.map((exit) => exit.threshold),
      fill: policy.fill,
      dtype: "float32",
      ...more,
    },
  });
}
