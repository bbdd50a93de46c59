"""From order events to bronze: the contract, the simulator and the Beam pipeline."""
