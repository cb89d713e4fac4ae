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
  type PlanFill,
  planFills,
  tokensPerRound,
} from "./break-even.js";
export {
  type CertifiedFor,
  checkPolicy,
  createPolicy,
  type Policy,
  type PolicyExit,
  type PolicyOptions,
  requirePolicyFor,
  withFill,
} from "./policy.js";
