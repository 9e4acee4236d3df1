// Elements are written as html`<p class=${name}>${text}</p>`. Text is always text: nothing here parses markup.
import { h } from './vendor/preact.js';
import htm from './vendor/htm.js';

export const html = htm.bind(h);
export { Component, render } from './vendor/preact.js';
