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
export { auditOf, listen, settled, usersOf } from "./audit-request.js";
export { AuditedText } from "./audited-text.js";
export { auditedDecoder, referenceFor, requireReference } from "./audited-decoder.js";
export { type LossInterval, lossInterval } from "./loss-interval.js";
