// Elements are written as html`<p class=${name}>${text}</p>`. Text is always text: nothing here parses markup, and nothing in it is unseen.
import { h } from './vendor/preact.js';
import htm from './vendor/htm.js';
import { visible } from './visible.js';

const seen = child => (typeof child === 'string' ? visible(child) : Array.isArray(child) ? child.map(seen) : child);

// The one long text, a body's, comes as it is to be seen.
export const html = htm.bind((type, props, ...children) => h(type, props, ...(type === 'pre' ? children : children.map(seen))));
export { Component, render } from './vendor/preact.js';
