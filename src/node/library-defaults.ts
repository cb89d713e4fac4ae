/** Defaults of the library's functions in one value, for programs that show them. */
import { certifyDefaults } from "../calibrate/certify/settings.js";
import { paperDefaults } from "../calibrate/paper/paper-threshold.js";
import { evaluateDefaults } from "../evaluate/evaluation.js";
import { attachDefaults } from "../exits/heads/attach-heads.js";
import { planDefaults } from "../exits/plan/break-even.js";
import { trainDefaults } from "../exits/train/train-heads.js";
import { samplingDefaults } from "../model/decode/sampling.js";
import { chatDefaults, generateDefaults } from "../model/decode/text.js";

export const libraryDefaults = {
  sampling: samplingDefaults,
  generate: generateDefaults,
  /** For `generate` with messages. */
  chat: chatDefaults,
  attach: attachDefaults,
  train: trainDefaults,
  plan: planDefaults,
  certify: certifyDefaults,
  paper: paperDefaults,
  evaluate: evaluateDefaults,
} as const;
