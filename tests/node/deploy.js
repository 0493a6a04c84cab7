// Deploys with Tencent's own deploy code and says which requests that makes.
//
// stdin:  a list of histories; each is a list of `inputs` of serverless.yml, deployed one after the other
//         into an account that was empty before.
// stdout: for each deployment the list of requests to Tencent Cloud's API, each with its Region.
//
// Only the HTTP client is replaced, by an account kept in memory. What comes before the deploy code, the hosted
// `scf` component (github.com/serverless-components/tencent-scf, src/utils.js), uploads `src`, names the
// uploaded object in `code`, and hands all other inputs on.

'use strict';

const { Capi } = require('@tencent-sdk/capi');
const { Scf } = require('tencent-component-toolkit');

console.log = () => {};

let requests;
let account;

const stored = ({ Action, Version, ...trigger }) => ({
  ...trigger,
  // What was posted is told back in another form.
  Enable: trigger.Enable === 'OPEN' ? 1 : 0,
  TriggerDesc:
    trigger.Type === 'timer'
      ? JSON.stringify({ cron: trigger.TriggerDesc })
      : JSON.stringify({ bucketUrl: trigger.TriggerName, ...JSON.parse(trigger.TriggerDesc) }),
});

const same = (one, other) => one.Type === other.Type && one.TriggerName === other.TriggerName;

const actions = {
  GetFunction: () =>
    account.function
      ? { ...account.function, Status: 'Active' }
      : { Error: { Code: 'ResourceNotFound.FunctionName', Message: 'no such function' } },
  CreateFunction: (request) => void (account.function = request),
  UpdateFunctionCode: () => {},
  UpdateFunctionConfiguration: (request) => void Object.assign(account.function, request),
  GetAlias: () => ({}),
  ListTriggers: () => ({ Triggers: account.triggers, TotalCount: account.triggers.length }),
  CreateTrigger: (request) => {
    account.triggers.push(stored(request));
    return { TriggerInfo: stored(request) };
  },
  DeleteTrigger: (request) =>
    void (account.triggers = account.triggers.filter((each) => !same(each, request))),
};

Capi.prototype.request = async function (request) {
  requests.push({ Region: this.options.Region, ...request });
  const { Action } = request;
  if (!actions[Action]) throw new Error(`the deploy code asks for ${Action}, which nobody foresaw`);
  return JSON.parse(JSON.stringify({ Response: actions[Action](request) || {} }));
};

const deploy = async (inputs) => {
  requests = [];
  const credentials = { SecretId: 'AKIDfake', SecretKey: 'fake' };
  const { src, region, ...handedOn } = inputs;
  await new Scf(credentials, region).deploy({
    ...handedOn,
    region,
    code: { bucket: 'code-bucket', object: 'uploaded.zip' },
  });
  return requests;
};

const main = async () => {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const told = [];
  for (const history of JSON.parse(Buffer.concat(chunks))) {
    account = { function: null, triggers: [] };
    const deployed = [];
    for (const inputs of history) deployed.push(await deploy(inputs));
    told.push(deployed);
  }
  process.stdout.write(JSON.stringify(told));
};

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
