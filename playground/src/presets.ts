/** Settings to start from. Each says everything that it depends on, and keeps the rest as it is. */
import type { Settings } from "./settings.js";

export interface Preset {
  readonly name: string;
  readonly settings: Partial<Settings>;
}

const CERTIFIED = { mode: "exits", procedure: "certified", temperature: 0 } as const;

/** For the embedded model, which knows presidential speeches. */
export const presets: readonly Preset[] = [
  {
    name: "Certified at 90 %",
    settings: { ...CERTIFIED, agreement: 0.9, prompt: "The people of the United States" },
  },
  {
    name: "Fast, at 80 %",
    settings: { ...CERTIFIED, agreement: 0.8, prompt: "I recommend to the consideration of Congress" },
  },
  {
    name: "Cautious, at 99 %",
    settings: { ...CERTIFIED, agreement: 0.99, prompt: "The condition of the Treasury" },
  },
  {
    name: "Lossless",
    settings: { ...CERTIFIED, mode: "lossless", agreement: 0.9, prompt: "Our relations with foreign powers" },
  },
  {
    name: "As published",
    settings: { ...CERTIFIED, procedure: "paper", agreement: 0.9, prompt: "The people of the United States" },
  },
  {
    name: "Sampled, no promise",
    settings: { ...CERTIFIED, agreement: 0.9, temperature: 0.8, prompt: "My fellow citizens" },
  },
];
