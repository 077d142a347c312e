// An OpenID Connect issuer that is certified to keep the standard: oidc-provider. Prints its address, and for each line
// on stdin, `TENANT ROLE`, an access token that it issued for client credentials.
// Arguments: the folder into which oidc-provider was installed, and the audience.

import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { createInterface } from 'node:readline';

console.info = console.error; // What it has to say must not pass for a token.
const [folder, audience] = process.argv.slice(2);
const { Provider } = await import(`${folder}/node_modules/oidc-provider/lib/index.js`);

const server = createServer();
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const url = `http://127.0.0.1:${server.address().port}`;
const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
let asked = {};

const provider = new Provider(url, {
  clients: [{
    client_id: 'connector',
    client_secret: 'a secret of this run',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  }],
  jwks: { keys: [{ ...key, kid: 'issuer-key', use: 'sig', alg: 'RS256' }] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        audience, scope: 'use', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: () => ({ tid: asked.tenant, roles: [asked.role] }),
});
server.on('request', provider.callback());
console.log(url);

for await (const line of createInterface({ input: process.stdin })) {
  const [tenant, role] = line.split(' ');
  asked = { tenant, role };
  const body = new URLSearchParams({ grant_type: 'client_credentials', resource: 'urn:riskshare', scope: 'use' });
  const authorization = `Basic ${Buffer.from('connector:a%20secret%20of%20this%20run').toString('base64')}`;
  const answer = await fetch(`${url}/token`, { method: 'POST', headers: { authorization }, body });
  const { access_token: token, ...rest } = await answer.json();
  if (!token) console.error(rest);
  console.log(token);
}
server.close();
