/** Audits of texts in use: are they as close to the reference model's as was promised? */
export { type AlarmOptions, type AlarmState, alarmWealth, createAlarm, stepAlarm } from "./alarm.js";
export {
  type AlarmAction,
  Audit,
  type AuditOptions,
  type AuditReport,
  type AuditState,
  type AuditTicket,
} from "./audit.js";
export { auditedDecoder, type AuditedDecoder, auditingObserver } from "./audited-decoder.js";
export { type LossInterval, lossInterval } from "./loss-interval.js";
