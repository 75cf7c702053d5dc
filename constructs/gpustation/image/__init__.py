"""An AMI built by EC2 Image Builder: the construct, its contents, its component, its roles."""
