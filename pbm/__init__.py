"""What all parts of PBM Logistics 360 share: settings, local services, and the `pbm` command."""
