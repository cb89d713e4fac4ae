/** Next steps after a calibration: use the policy, or make a better one. */
import { commandLine } from "./next-lines.js";
import type { Worth } from "./verdict-lines.js";

export interface CalibrationCall {
  readonly dir: string;
  readonly heads: string;
  readonly text?: string | undefined;
  readonly self?: number | undefined;
  readonly out?: string | undefined;
  readonly agreement: number;
  readonly dtype?: string | undefined;
  readonly chats: boolean;
  /** Levels of the package's exits for this model. */
  readonly shipped: readonly number[];
}

/** Command lines, or sentences where none would help. */
export function calibrationNext(call: CalibrationCall, worth: Worth): string[] {
  if (worth === "faster") return useIt(call);
  return [
    "train the heads on more documents or for more steps: exits that pay need heads that agree more often, earlier",
    ...shippedInstead(call),
    commandLine("plan", [call.dir], { heads: call.heads, text: call.text ?? "held-out.txt", dtype: call.dtype }),
  ];
}

function useIt({ dir, heads, out, chats, text, self, agreement, dtype }: CalibrationCall): string[] {
  if (out === undefined) {
    const documents = text === undefined ? { self: self ?? true } : { text };
    return [commandLine("calibrate", [dir], { heads, ...documents, agreement, dtype, out: "policy.json" })];
  }
  const exits = { heads, policy: out };
  return [
    commandLine("generate", [dir], { ...exits, prompt: "Once upon a time" }),
    ...(chats ? [commandLine("chat", [dir], exits)] : []),
    commandLine("serve", [dir], exits),
  ];
}

/** The package's exits, which were trained longer. */
function shippedInstead({ dir, shipped, agreement, chats }: CalibrationCall): string[] {
  const level = shipped.find((one) => one === agreement) ?? shipped[0];
  if (level === undefined) return [];
  const command = chats
    ? commandLine("chat", [dir], { shipped: level })
    : commandLine("generate", [dir], { shipped: level, prompt: "Once upon a time" });
  return [`or use the exits that come with this package, which were trained for hours: ${command}`];
}
