!> Mathematical constants and tolerances.
module tf_constants
   use tf_kinds, only : wp
   implicit none
   private
   public :: pi, half_pi, closest_distance, smallest_deviation

   real(wp), parameter :: pi = 3.14159265358979323846264338327950288_wp
   real(wp), parameter :: half_pi = 0.5_wp*pi
   !> Two atoms closer than this (Å) are an error in the data, not a structure
   real(wp), parameter :: closest_distance = 1.0e-6_wp
   !> Descriptor components that vary less than this are set to zero (ænet's limit)
   real(wp), parameter :: smallest_deviation = 1.0e-10_wp
end module tf_constants
