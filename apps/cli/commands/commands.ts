/** The commands, in the order of the help; each file declares one command and runs it. */
import type { CommandDefinition } from "../command.js";
import { calibrateCommand } from "./calibrate.js";
import { certificateCommand } from "./certificate.js";
import { chatCommand } from "./chat.js";
import { demoCommand } from "./demo.js";
import { evalCommand } from "./eval.js";
import { exportCommand } from "./export.js";
import { generateCommand } from "./generate.js";
import { getCommand } from "./get.js";
import { planCommand } from "./plan.js";
import { serveCommand } from "./serve.js";
import { trainCommand } from "./train.js";

export const commands: readonly CommandDefinition[] = [
  getCommand,
  planCommand,
  trainCommand,
  calibrateCommand,
  evalCommand,
  certificateCommand,
  generateCommand,
  chatCommand,
  serveCommand,
  exportCommand,
  demoCommand,
];
