"""EC2: instances, their disks and images, and the calls where ministack differs from AWS."""
