/** The reference platform is one resource pool with one cluster, one host and one datastore. The ids are the same on every instance. */
export const inventory = {
  az: { id: 'az-varve-1', name: 'Varve reference pool', type: 'hci', status: 'normal' },
  cluster: { id: 'cluster-varve-1', name: 'varve-cluster', az_id: 'az-varve-1', type: 'hci', status: 'normal', version: '6.10.0' },
  host: { id: 'host-varve000001', name: 'varve-host', az_id: 'az-varve-1', cluster_id: 'cluster-varve-1', status: 'running', type: 'hci' },
  storage: {
    id: 'varve_local_1',
    name: 'varve-local',
    type: 'local',
    az_id: 'az-varve-1',
    cluster_id: 'cluster-varve-1',
    host_ids: ['host-varve000001'],
    hosts_online_state: [{ host_id: 'host-varve000001', online: true }],
    status: 'normal',
  },
} as const

/** What we say we are: the first version with agentless backup, and that we are not it. */
export const VERSION = { build_version: 'SCP6.10.0 (Varve reference platform)', custom_version: [] } as const
