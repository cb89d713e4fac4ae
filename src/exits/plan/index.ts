/** Policies; and, before anything is trained, whether exits can pay off. */
export {
  bestDraftLength,
  type BreakEven,
  breakEven,
  type BreakEvenRow,
  losslessCost,
  lossyCost,
  measuredCosts,
  plainCost,
  type PlanCosts,
  planDefaults,
  planExits,
  type PlanExitsOptions,
  tokensPerRound,
} from "./break-even.js";
export {
  type CertifiedFor,
  type CertifiedLoss,
  type CertifiedSampling,
  checkPolicy,
  createPolicy,
  type Policy,
  type PolicyExit,
  type PolicyOptions,
  type Reference,
  requirePolicyFor,
  withFill,
} from "./policy.js";
